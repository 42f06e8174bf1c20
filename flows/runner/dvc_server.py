"""Server process with DVC loaded: reads the pipeline once, answers requests, and forks for each stage that runs.

    python -m flows.runner.dvc_server ROOT

Standard input is one end of a pair of Unix sockets; at the other, `flows.runner.dvc_client` asks: a line of JSON,
answered by a line of JSON. To import DVC and to read dvc.yaml and dvc.lock takes longer than to run a small stage: a
fork has both already, and stages of different forks hash and cache side by side. The server has one thread and never
imports Prefect, so it may fork at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.runner import supervisor
from flows.runner.stages import Pipeline
from ratchet.errors import PipelineError

MAX_REQUEST = 1 << 16
FAILED = 255
"""The exit code of DVC's command line when a stage fails."""


class Fork:
    """A forked process that is supervised."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = FAILED
            try:
                code = work()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def wait(self) -> int:
        """Wait for its end; its exit code, or the negative number of the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def serve(connection: socket.socket, root: Path) -> None:
    """Answer requests until the other end is closed; where the pipeline is unreadable, each gets that error."""
    pipeline: Pipeline | PipelineError
    try:
        pipeline = Pipeline(root)
    except PipelineError as error:
        pipeline = error
    while True:
        message, fds, _, _ = socket.recv_fds(connection, MAX_REQUEST, 3)
        if not message:
            return
        _reap()
        try:
            result = pipeline if isinstance(pipeline, PipelineError) else _answer(pipeline, json.loads(message), fds)
        except PipelineError as error:
            result = error
        except Exception:  # an error of DVC's or ours: the flow reports it, and the server goes on
            result = PipelineError(traceback.format_exc())
        answer = {"error": str(result)} if isinstance(result, PipelineError) else {"result": result}
        for fd in fds:
            os.close(fd)
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _reap() -> None:
    """Reap the supervisors that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(pipeline: Pipeline, request: dict[str, Any], fds: list[int]) -> Any:
    match request["call"]:
        case "plan":
            return [asdict(stage) for stage in pipeline.plan(request["targets"])]
        case "stale":
            return pipeline.stale(request["names"])
        case "put_back":
            return pipeline.put_back(request["name"])
        case "sort_lock":
            return pipeline.sort_lock()
        case "start":
            return Fork(lambda: _supervise(pipeline, request, *fds)).pid
    raise ValueError(request)


def _supervise(pipeline: Pipeline, request: dict[str, Any], stdin: int, output: int, status: int) -> int:
    """In a fork: supervise DVC's run of a stage, as `flows.runner.supervisor` does a command; write the exit code."""
    os.setsid()
    for source, target in ((stdin, 0), (output, 1), (output, 2)):  # the server's socket was 0
        os.dup2(source, target)
    for fd in (stdin, output):
        os.close(fd)
    os.environ[supervisor.STAGE] = request["mark"]

    def reproduce() -> int:
        os.close(status)
        return _reproduce(pipeline, request["name"])

    code = supervisor.supervise(lambda: Fork(reproduce), request["time_limit_s"], request["grace_s"])
    os.write(status, str(code).encode())
    return 0


def _reproduce(pipeline: Pipeline, name: str) -> int:
    """In a fork of that fork: DVC runs the stage; the exit code."""
    from dvc.exceptions import DvcException

    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # DVC releases its locks on the way out
        signal.signal(number, signal.default_int_handler)
    try:
        pipeline.reproduce(name)
    except DvcException as error:
        print(f"ERROR: failed to reproduce '{name}': {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("ERROR: interrupted", file=sys.stderr)
        return FAILED
    return 0


def main() -> int:
    """Serve on standard input."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # DVC's progress bars would start a thread
    serve(socket.socket(fileno=0), Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
