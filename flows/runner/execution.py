"""Runs one stage, if it is stale, under a supervisor; reports what DVC did."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flows.runner import stages, supervisor
from flows.runner.dvc_client import DvcClient, RunningStage
from flows.runner.environment import stage_environment

RAN, CACHED, RESTORED, FAILED = "Ran", "Cached", "Restored", "Failed"
GRACE_S = 10.0
LOGS = Path(".scratch/logs")
N_TAIL_LINES = 15
RUNNING = "Running stage '"
"""Prefix of the line that DVC prints before it runs a command."""

_supervisors: set[subprocess.Popen[str] | RunningStage] = set()


@dataclass(frozen=True)
class Outcome:
    """Outcome of a stage: one of RAN, CACHED, RESTORED (from DVC's run cache), FAILED; and why it failed."""

    state: str
    seconds: float
    message: str = ""


def run_stage(
    root: Path,
    dvc: DvcClient,
    stage: stages.Stage,
    started: Callable[[], None] = lambda: None,
    listen: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Let DVC run the stage, which it does unless it is up to date. When it fails, its previous outputs are put back.

    Args:
        root: the repository.
        dvc: the pipeline, opened.
        stage: which one.
        started: called when DVC runs the stage's command.
        listen: called with each line that DVC and the stage print.
    """

    def on_line(line: str) -> None:
        if line.startswith(RUNNING):
            started()
        listen(line)

    start, mark = time.monotonic(), uuid.uuid4().hex
    log = root / LOGS / f"{stage.name}.log"
    code = _follow(dvc.start(stage, mark, GRACE_S), mark, log, on_line)
    text, seconds = log.read_text(encoding="utf-8", errors="replace"), time.monotonic() - start
    if code == 0:
        return Outcome(_what_dvc_did(text), seconds)
    message = _reason(code, stage, text)
    kept = dvc.put_back(stage.name)
    if kept:
        message += f"\n  put back: {', '.join(kept)}, as dvc.lock records them"
    return Outcome(FAILED, seconds, f"{message}\n  log: {log.relative_to(root)}")


def run_supervised(
    root: Path, command: list[str], log: Path, time_limit_s: float, listen: Callable[[str], None]
) -> int:
    """Run a command that cannot outlive this process; its output goes to a log file and to `listen`. Its exit code."""
    mark = uuid.uuid4().hex
    options = ["--time-limit", str(time_limit_s), "--grace", str(GRACE_S), "--"]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.runner.supervisor", *options, *command],
        cwd=root,
        env={**stage_environment(), supervisor.STAGE: mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    return _follow(process, mark, log, listen)


def _follow(process: subprocess.Popen[str] | RunningStage, mark: str, log: Path, listen: Callable[[str], None]) -> int:
    """Read the output of a supervised process until it ends; returns its exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with process, log.open("w", encoding="utf-8") as file:
        _supervisors.add(process)
        # a killed supervisor leaves a stage that holds the pipe open: end it, or the loop below never ends
        threading.Thread(target=_end_with, args=(process, mark)).start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                listen(line.rstrip("\n"))
            return process.wait()
        finally:
            _supervisors.discard(process)


def _end_with(process: subprocess.Popen[str] | RunningStage, mark: str) -> None:
    if process.wait() < 0:
        supervisor.kill_marked(supervisor.STAGE, mark)


@contextmanager
def stages_end_with_the_flow(leave: Callable[[], None]) -> Iterator[None]:
    """Stop every running stage when the block is left by an error or a signal.

    Ctrl-C reaches Prefect's embedded server too, and without it Prefect would try for minutes to report: so the
    process leaves at once, by `leave`, when the stages have ended.
    """
    try:
        yield
    except BaseException as error:
        running = list(_supervisors)
        for process in running:
            if process.stdin is not None:
                process.stdin.close()
        if isinstance(error, KeyboardInterrupt) and not os.environ.get("PREFECT_API_URL"):
            for process in running:
                process.wait(GRACE_S + 5)
            leave()
        raise


def start_guard(root: Path) -> None:
    """Start the process that ends whatever this flow leaves behind, should it be killed."""
    if _guards:
        return
    run = supervisor.mark_run()
    guard = subprocess.Popen(
        [sys.executable, "-m", "flows.runner.supervisor", "--guard", run, "--grace", str(GRACE_S)],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _guards.append(guard)


_guards: list[subprocess.Popen[bytes]] = []  # held open until the process ends: closing the pipe is the signal


def _what_dvc_did(text: str) -> str:
    """The state, from what `dvc repro` printed.

    >>> _what_dvc_did("Stage 'a' didn't change, skipping"), _what_dvc_did("Running stage 'a':")
    ('Cached', 'Ran')
    """
    if re.search(f"^{RUNNING}", text, re.MULTILINE):
        return RAN
    if re.search(r"^Stage '.*' is cached - skipping run", text, re.MULTILINE):
        return RESTORED
    return CACHED


def _reason(code: int, stage: stages.Stage, text: str) -> str:
    if code == supervisor.TIMED_OUT:
        return f"took longer than its time limit, {stage.time_limit_s:g} s (meta: time_limit_s in dvc.yaml)"
    if code == supervisor.STOPPED:
        return "was stopped, because the flow ended"
    if code < 0 or 128 < code < 128 + signal.NSIG:
        return f"DVC was killed (signal {-code if code < 0 else code - 128})"
    return error_of(text)


def error_of(text: str) -> str:
    """The step's own message if it printed one, otherwise the last lines of its output.

    >>> error_of("loading\\n\\nerror: no file\\n  where: a.csv\\nERROR: failed to reproduce 'a'")
    'no file\\n  where: a.csv'
    """
    own = re.findall(r"^error: (.+(?:\n .*)*)", text, re.MULTILINE)
    if own:
        return str(own[-1]).rstrip()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((RUNNING, "> "))]
    lines = lines[-N_TAIL_LINES:]
    if any(re.search(r"exited with (-9|137)\b", line) for line in lines):  # 137: by a shell that did not exec
        lines.append("(the system or somebody killed it: too little memory is the usual reason)")
    return "\n".join(lines)
