"""What becomes of a stage is named right, and no process outlives its flow: on a miniature, without Prefect."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from flows.runner import supervisor
from flows.runner.dvc_client import open_pipeline
from flows.runner.execution import CACHED, FAILED, RAN, RESTORED, Outcome, run_stage, run_supervised
from flows.runner.stages import Pipeline, Stage
from ratchet.errors import PipelineError
from tests.support.miniature import environment, make_repository, stages_run, wait_for, write_params

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature repository in which everything has run once, by plain DVC."""
    root = make_repository(tmp_path_factory.mktemp("miniature"))
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=root, env=environment(), check=True, capture_output=True)
    assert stages_run(root) == ["source", "left", "right", "end"]
    return root


@pytest.fixture
def root(miniature: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The miniature, its params as at first; the tests below leave its stages up to date for those values."""
    monkeypatch.chdir(miniature)
    write_params(miniature)
    stages_run(miniature)
    return miniature


def _run(root: Path, name: str) -> Outcome:
    with open_pipeline(root) as dvc:
        (stage,) = [stage for stage in dvc.plan() if stage.name == name]
        return run_stage(root, dvc, stage)


def test_graph_is_that_of_dvc_yaml(root: Path) -> None:
    pipeline = Pipeline(root)
    graph = {stage.name: set(stage.needs) for stage in pipeline.plan()}
    assert graph == {"source": set(), "left": {"source"}, "right": {"source"}, "end": {"left", "right"}}
    assert next(iter(graph)) == "source"
    assert [stage.name for stage in pipeline.plan(["right"])] == ["source", "right"]


def test_an_unknown_stage_is_refused(root: Path) -> None:
    with open_pipeline(root) as dvc, pytest.raises(PipelineError, match="no such stage"):
        dvc.plan(["ghost"])


def test_an_invalid_pipeline_is_refused_whatever_is_asked(root: Path) -> None:
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("cmd:", "comand:", 1))
    try:
        with open_pipeline(root) as dvc:
            for ask in (dvc.plan, dvc.sort_lock):
                with pytest.raises(PipelineError, match="DVC cannot read the pipeline"):
                    ask()
    finally:
        (root / "dvc.yaml").write_text(text)


def test_stale_is_what_differs_from_the_lock(root: Path) -> None:
    names = ["source", "left", "right", "end"]
    assert Pipeline(root).stale(names) == []
    write_params(root, left=8)
    assert Pipeline(root).stale(names) == ["left"]


def test_the_server_forks_from_one_thread(root: Path) -> None:
    with open_pipeline(root) as dvc:
        dvc.stale([stage.name for stage in dvc.plan()])
        assert psutil.Process(dvc._process.pid).num_threads() == 1
        assert open_pipeline(root) is dvc
    with open_pipeline(root) as other:
        assert other is not dvc


def test_a_killed_server_is_reported_and_the_next_run_has_another(root: Path) -> None:
    with open_pipeline(root) as dvc:
        dvc.plan()
        dvc._process.kill()
        with pytest.raises(PipelineError, match="has ended"):
            dvc.plan()
    assert _run(root, "left").state == CACHED


def test_cached_then_ran_then_restored(root: Path) -> None:
    assert _run(root, "left").state == CACHED
    write_params(root, left=5)
    assert _run(root, "left").state == RAN
    assert (stages_run(root), (root / "data/left").read_text()) == (["left"], "6")
    write_params(root)
    assert _run(root, "left").state == RESTORED
    assert (stages_run(root), (root / "data/left").read_text()) == ([], "2")


def test_a_failure_says_why_and_puts_the_outputs_back(root: Path) -> None:
    write_params(root, right=7)
    (root / "fail-right").touch()
    try:
        outcome = _run(root, "right")
    finally:
        (root / "fail-right").unlink()
    assert outcome.state == FAILED
    assert outcome.message.startswith("The number is bad.\n  where: somewhere\n  what to do: choose a better one")
    assert "log: .scratch/logs/right.log" in outcome.message
    # data/right lies in DVC's cache, data/right.json in git: DVC had removed both
    assert [(root / name).read_text() for name in ("data/right", "data/right.json")] == ["2", "2"]
    write_params(root)
    assert _run(root, "right").state == CACHED


@pytest.mark.parametrize(("shell", "number"), [("/bin/bash", 9), (None, 10)])
def test_a_killed_stage_fails_and_runs_the_next_time(
    root: Path, monkeypatch: pytest.MonkeyPatch, shell: str | None, number: int
) -> None:
    """By whichever shell DVC starts it: bash becomes the command, /bin/sh waits for it and reports 128 + 9."""
    if shell:
        monkeypatch.setenv("SHELL", shell)
    else:
        monkeypatch.delenv("SHELL", raising=False)
    write_params(root, left=number)
    (root / "hang-left").touch()
    killer = threading.Thread(target=_kill_when_there, args=(root / "pid-left",))
    killer.start()
    outcome = _run(root, "left")
    killer.join()
    (root / "hang-left").unlink()
    (root / "pid-left").unlink()
    assert (outcome.state, "killed it: too little memory" in outcome.message) == (FAILED, True), outcome.message
    assert (root / "data/left").read_text() == "2"  # not the half that the killed one wrote
    assert (_run(root, "left").state, (root / "data/left").read_text()) == (RAN, str(number + 1))
    write_params(root)
    assert _run(root, "left").state == RESTORED


def _kill_when_there(path: Path) -> None:
    wait_for(path)
    os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_time_limit_ends_the_stage(root: Path) -> None:
    write_params(root, left=11)
    (root / "hang-left").touch()
    try:
        with open_pipeline(root) as dvc:
            dvc.plan()
            outcome = run_stage(root, dvc, Stage("left", (), time_limit_s=0.2))
    finally:
        (root / "hang-left").unlink()
    assert (outcome.state, outcome.message.split("\n")[0]) == (
        FAILED,
        "took longer than its time limit, 0.2 s (meta: time_limit_s in dvc.yaml)",
    )


def test_lock_gets_the_order_of_plain_dvc(root: Path) -> None:
    text = (root / "dvc.lock").read_text()
    head, *blocks = text.replace("\n  left:", "\0\n  left:").replace("\n  right:", "\0\n  right:").split("\0")
    blocks[-1], tail = blocks[-1].split("\n  end:")
    (root / "dvc.lock").write_text("".join([head, *reversed(blocks), "\n  end:", tail]))
    assert (root / "dvc.lock").read_text() != text
    Pipeline(root).sort_lock()
    assert (root / "dvc.lock").read_text() == text


# A command that ignores SIGINT, with a child that has left the process group, under a supervisor
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
with open(sys.argv[1], "w") as file: file.write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.mark.parametrize("end", ["pipe", "SIGTERM", "supervisor killed"])
def test_nothing_outlives_the_flow(tmp_path: Path, end: str) -> None:
    file = tmp_path / "pids"
    command = [sys.executable, "-c", STUBBORN, str(file)]
    if end == "supervisor killed":
        killer = threading.Thread(target=_kill_supervisor, args=(file,))
        killer.start()
        assert run_supervised(Path.cwd(), command, tmp_path / "log", 0, lambda line: None) == -signal.SIGKILL
        killer.join()
    else:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.runner.supervisor", "--grace", "0.2", "--", *command], stdin=subprocess.PIPE
        )
        wait_for(file)
        assert process.stdin is not None
        if end == "SIGTERM":
            process.terminate()
        else:
            process.stdin.close()
        assert process.wait(30) == supervisor.STOPPED
        process.stdin.close()
    pids = [int(pid) for pid in file.read_text().split()]
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=30)
    assert alive == []


def _kill_supervisor(file: Path) -> None:
    wait_for(file)
    psutil.Process(int(file.read_text().split()[0])).parent().kill()


def test_exit_code_and_output_pass_through(tmp_path: Path) -> None:
    lines: list[str] = []
    command = [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"]
    assert run_supervised(Path.cwd(), command, tmp_path / "logs" / "a.log", 0, lines.append) == 3
    assert lines == (tmp_path / "logs" / "a.log").read_text().split() == ["one", "two"]
