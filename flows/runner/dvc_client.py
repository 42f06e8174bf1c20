"""Client of the DVC server process: the graph, stale stages, runs of a stage."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

from flows.runner import supervisor
from flows.runner.environment import stage_environment
from flows.runner.stages import Stage
from ratchet.errors import PipelineError

_open: dict[Path, DvcClient] = {}


def open_pipeline(root: Path) -> DvcClient:
    """The pipeline of this workspace, as it is now or was when it was opened; the caller closes it."""
    root = root.resolve()
    if root not in _open:
        _open[root] = DvcClient(root)
    return _open[root]


class DvcClient:
    """The server's methods, safe to call from the threads of the stages. The first answer waits for DVC to load."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stale: dict[tuple[str, ...], list[str]] = {}
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._answers = self._socket.makefile("rb")
        # by the two marks the guard of the run knows that this process must not be terminated before its stages
        marks = {supervisor.RUN: supervisor.mark_run(), supervisor.STAGE: "dvc"}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.runner.dvc_server", str(root)],
                cwd=root,
                env={**stage_environment(), **marks},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def close(self) -> None:
        """End the server; stages at work are not ended."""
        _open.pop(self._root, None)
        self._answers.close()
        self._socket.close()
        self._process.terminate()  # it may still be loading
        self._process.wait()

    def __enter__(self) -> DvcClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def plan(self, targets: Sequence[str] = ()) -> list[Stage]:
        """See `Pipeline.plan`."""
        return [Stage(**{**stage, "needs": tuple(stage["needs"])}) for stage in self._ask("plan", targets=targets)]

    def stale(self, names: Sequence[str]) -> list[str]:
        """The stages that were stale at the first call; see `Pipeline.stale`."""
        if tuple(names) not in self._stale:
            self._stale[tuple(names)] = self._ask("stale", names=names)
        return self._stale[tuple(names)]

    def put_back(self, name: str) -> list[str]:
        """See `Pipeline.put_back`."""
        return list(self._ask("put_back", name=name))

    def sort_lock(self) -> None:
        """See `Pipeline.sort_lock`."""
        self._ask("sort_lock")

    def start(self, stage: Stage, mark: str, grace_s: float) -> RunningStage:
        """Start a stage under a supervisor; `mark` is that of its processes."""
        stdin, stdin_end = os.pipe()
        output_end, output = os.pipe()
        status_end, status = os.pipe()
        limits = {"time_limit_s": stage.time_limit_s, "grace_s": grace_s}
        try:
            pid = self._ask("start", name=stage.name, mark=mark, **limits, fds=[stdin, output, status])
        except BaseException:
            for fd in (stdin_end, output_end, status_end):
                os.close(fd)
            raise
        finally:
            for fd in (stdin, output, status):
                os.close(fd)
        return RunningStage(pid, stdin_end, output_end, status_end)

    def _ask(self, call: str, fds: Sequence[int] = (), **arguments: Any) -> Any:
        """Ask the server.

        Raises:
            PipelineError: the server answers with an error, or has ended.
        """
        message = json.dumps({"call": call, **arguments}).encode()
        with self._lock:
            try:
                socket.send_fds(self._socket, [message], fds)
                line = self._answers.readline()
            except OSError:
                line = b""
        if not line:
            raise PipelineError(
                "The process that runs DVC has ended.", where=self._root, fix="the same command carries on from here"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise PipelineError(answer["error"])
        return answer["result"]


class RunningStage:
    """A supervised stage, in those parts of `subprocess.Popen` that a flow uses."""

    def __init__(self, pid: int, stdin: int, output: int, status: int) -> None:
        self.pid = pid
        """Process id of the supervisor."""
        self.stdin: IO[bytes] | None = os.fdopen(stdin, "wb")
        """Closing it makes the supervisor end the stage."""
        self.stdout: IO[str] | None = os.fdopen(output, encoding="utf-8", errors="replace")
        self._code: Future[int] = Future()
        threading.Thread(target=self._watch, args=(status,), daemon=True).start()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the supervisor's exit code, or the negative number of the signal that ended it."""
        return self._code.result(timeout)

    def __enter__(self) -> RunningStage:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.stdin, self.stdout):
            if file is not None:
                file.close()
        self.wait()

    def _watch(self, status: int) -> None:
        with os.fdopen(status) as file:
            text = file.read()
        self._code.set_result(int(text) if text else -signal.SIGKILL)
