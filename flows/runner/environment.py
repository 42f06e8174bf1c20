"""Environment variables for Prefect and DVC: no telemetry, a home inside the workspace, no proxy for loopback."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import MutableMapping
from pathlib import Path

from ratchet.entry import QUIET

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def set_environment(environ: MutableMapping[str, str] = os.environ, root: Path | None = None) -> None:
    """Set the defaults that are not set yet. Must run before Prefect is imported: it reads its settings then."""
    root = root or Path.cwd()
    defaults = {
        **QUIET,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s by default; the first start takes that long
    }
    for name, value in defaults.items():
        environ.setdefault(name, value)
    spare_loopback(environ)
    name_user(environ, root)


def spare_loopback(environ: MutableMapping[str, str]) -> None:
    """Exclude loopback addresses from proxies, for Prefect's server and Label Studio on this machine.

    Existing exclusions stay. Libraries disagree on the spelling, and most let the lower case win.

    >>> environ = {"NO_PROXY": "example.org, 127.0.0.1"}
    >>> spare_loopback(environ)
    >>> environ["NO_PROXY"], environ["NO_PROXY"] == environ["no_proxy"]
    ('example.org,127.0.0.1,localhost,::1', True)
    """
    excluded = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    hosts = [host for part in excluded.split(",") if (host := part.strip())]
    hosts += [host for host in LOOPBACK if host not in hosts and "*" not in hosts]
    environ["NO_PROXY"] = environ["no_proxy"] = ",".join(hosts)


def name_user(environ: MutableMapping[str, str], root: Path) -> None:
    """Set LOGNAME and HOME for a user without a name or a home, as in containers with a bare user id.

    DVC asks for the name, and libraries make their caches at home.
    """
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:
        name, home = f"uid-{os.getuid()}", ""
    environ.setdefault("LOGNAME", name)  # what `getpass` looks at first
    if not Path(environ.get("HOME", home) or "none").is_dir():
        environ["HOME"] = str(root / ".scratch" / "home")


def stage_environment() -> dict[str, str]:
    """The environment of a stage: `python` is the interpreter of the flow, and output is not held back."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "120"}
