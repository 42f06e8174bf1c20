"""A Prefect server on loopback for as long as a test runs, and what it says."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.miniature import environment


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment that points to the server, which keeps its things in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    env = {
        **environment(),
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    with (folder / "server.log").open("w") as log, running(command, env, log):
        until(lambda: ask(f"{url}/health"), 120)
        yield env


@contextmanager
def running(command: list[str], env: dict[str, str], log: Any, cwd: Path | None = None) -> Iterator[None]:
    """The command runs until the block ends."""
    process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=cwd)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    """What the server answers; None while it does not."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        raise
    except OSError:
        return None


def until(question: Any, seconds: float) -> Any:
    """The first answer that is neither empty nor missing."""
    end = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < end, "no answer in time"
        time.sleep(0.2)
    return answer
