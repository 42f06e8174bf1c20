"""A PostgreSQL server of the tests' own, on a free port of loopback, gone with everything in it when they end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SKIP = "PostgreSQL is not installed: apt-get install postgresql"


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl; None where there is none."""
    found = shutil.which("initdb")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "initdb").exists() and (path / "pg_ctl").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's database; skips the test where the binaries are missing.

    PostgreSQL refuses to be run by root: then it runs as `nobody`.
    """
    folder = binaries()
    if folder is None:
        pytest.skip(SKIP)
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="ratchet-pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        if user:
            entry = pwd.getpwnam(user)
            os.chown(name, entry.pw_uid, entry.pw_gid)

        def run(*command: str) -> None:
            done = subprocess.run(command, cwd=name, user=user, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = f"{name}/data"
        run(str(folder / "initdb"), "-D", data, "-U", "ratchet", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={name} -c fsync=off"
        run(str(folder / "pg_ctl"), "-D", data, "-o", options, "-l", f"{name}/log", "-w", "start")
        try:
            yield f"postgresql://ratchet@127.0.0.1:{port}/postgres"
        finally:
            run(str(folder / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
