"""Starts a process in a process group of its own and lets nothing of it outlive the flow.

    python -m flows.runner.supervisor [--time-limit S] [--grace S] -- COMMAND ...    one command
    python -m flows.runner.supervisor --guard RUN [--grace S]                        everything else a run has started

Standard input is a pipe that the flow holds and never writes to: the system closes it when the flow ends, by kill -9
too. Then, at SIGTERM and at the time limit, the group gets SIGINT (on which DVC releases its locks), and SIGKILL after
the grace time. Descendants that left the group are known by a variable in their environment.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Protocol

import psutil

RUN, STAGE = "RATCHET_RUN", "RATCHET_STAGE_RUN"
"""Environment variables that all descendants of a run, of a stage, inherit."""
TIMED_OUT, STOPPED = 124, 125
"""Exit codes of a supervisor that ended its command: at the time limit, or because the flow ended."""


class Process(Protocol):
    """A supervised process: the leader of a process group of its own."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; its exit code, or the negative number of the signal that ended it."""
        ...


def supervise(start: Callable[[], Process], time_limit_s: float, grace_s: float) -> int:
    """Run a process until it ends, the time is up, or the flow is gone; its exit code, or TIMED_OUT, or STOPPED.

    Args:
        start: starts the process. Called before any thread is, so that it may fork.
        time_limit_s: 0: none.
        grace_s: seconds between SIGINT and SIGKILL.
    """
    events: queue.SimpleQueue[int] = queue.SimpleQueue()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: events.put(STOPPED))
    process, ended = start(), threading.Event()

    def wait() -> None:
        code = process.wait()
        ended.set()
        events.put(code)

    _on_end_of_flow(lambda: events.put(STOPPED))
    threading.Thread(target=wait, daemon=True).start()
    try:
        code = events.get(timeout=time_limit_s or None)
    except queue.Empty:
        code = TIMED_OUT
    if not ended.is_set():
        _stop_group(process.pid, ended, grace_s)
    kill_marked(STAGE, os.environ[STAGE])
    return 128 - code if code < 0 else code


def mark_run() -> str:
    """Set this run's mark in the environment of this process; its guard finds descendants by it."""
    if not os.environ.get(RUN, "").startswith(f"{os.getpid()}-"):
        os.environ[RUN] = f"{os.getpid()}-{uuid.uuid4().hex}"
    return os.environ[RUN]


def guard(run: str, grace_s: float) -> None:
    """Wait for the end of the flow, then end its leftover processes: the server at once, stages after a grace time."""
    ended = threading.Event()
    _on_end_of_flow(ended.set)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    ended.wait()
    servers = [process for process in marked(RUN, run) if not _variable(process, STAGE)]
    for process in servers:
        _quietly(process.terminate)
    psutil.wait_procs(servers, timeout=3)
    psutil.wait_procs(marked(RUN, run), timeout=grace_s + 5)
    kill_marked(RUN, run)


def marked(name: str, value: str) -> list[psutil.Process]:
    """The processes, but for this one, in whose environment the variable has that value."""
    return [
        process for process in psutil.process_iter() if process.pid != os.getpid() and _variable(process, name) == value
    ]


def kill_marked(name: str, value: str) -> None:
    """Kill them all; again, as long as one had just started another."""
    for _ in range(20):
        found = marked(name, value)
        if not found:
            return
        for process in found:
            _quietly(process.kill)
        psutil.wait_procs(found, timeout=1)


def _stop_group(leader: int, ended: threading.Event, grace_s: float) -> None:
    """SIGINT to the group, SIGKILL when it is still there after the grace time."""
    _quietly(lambda: os.killpg(leader, signal.SIGINT))
    ended.wait(grace_s)
    _quietly(lambda: os.killpg(leader, signal.SIGKILL))


def _on_end_of_flow(call: Callable[[], object]) -> None:
    def wait() -> None:
        while os.read(0, 4096):
            pass
        call()

    threading.Thread(target=wait, daemon=True).start()


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        value: str | None = process.environ().get(name)
    except (psutil.Error, OSError):
        return None
    return value


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except (psutil.Error, ProcessLookupError, PermissionError):
        return


def main() -> int:
    """Parse the command line and run it."""
    parser = argparse.ArgumentParser(prog="python -m flows.runner.supervisor", description=__doc__)
    parser.add_argument("--time-limit", type=float, default=0.0, help="seconds; 0: none")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds between SIGINT and SIGKILL")
    parser.add_argument("--guard", default="", help="the value of RATCHET_RUN to clean up after")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    if arguments.guard:
        guard(arguments.guard, arguments.grace)
        return 0
    os.environ.setdefault(STAGE, uuid.uuid4().hex)

    def start() -> Process:
        return subprocess.Popen(arguments.command, stdin=subprocess.DEVNULL, start_new_session=True)

    return supervise(start, arguments.time_limit, arguments.grace)


if __name__ == "__main__":
    sys.exit(main())
