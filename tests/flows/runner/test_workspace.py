"""A run refuses at once what it would fail on later, and clears what a killed one left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runner import workspace
from ratchet.errors import ParamsError, PipelineError
from tests.support.miniature import RATCHET, environment, make_repository, stages_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("miniature"))


def _command_line(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(RATCHET), "run"], cwd=root, env=environment(), capture_output=True, text=True)


def test_bad_params_stop_the_run_before_any_stage(root: Path) -> None:
    path = root / "params.yaml"
    good = path.read_text()
    path.write_text(good.replace('"left": {"number": 1}', '"left": {"number": -1, "nmber": 1}').replace("end", "ende"))
    done = _command_line(root)
    path.write_text(good)
    assert done.returncode == 1
    assert "left.number = -1" in done.stderr
    assert "left.nmber: unknown key" in done.stderr
    assert "The block 'end' is missing." in done.stderr
    assert "blocks of no stage" in done.stderr
    assert "Traceback" not in done.stderr
    assert (stages_run(root), done.stdout, (root / ".prefect/prefect.db").exists()) == ([], "", False)


def test_params_are_checked_again_when_they_or_the_code_change_and_not_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    accept = lambda model, block, values, path: checked.append(block)  # noqa: E731
    monkeypatch.setattr("ratchet.params.check_params", accept)
    (root / workspace.ACCEPTED).unlink(missing_ok=True)

    def n_checked() -> int:
        checked.clear()
        workspace.check_all_params(root)
        return len(checked)

    assert (n_checked(), n_checked()) == (4, 0)
    for name in ("params.yaml", "pipeline_steps/left.py", "ratchet/params.py", "dvc.yaml"):
        path = root / name
        path.write_text(path.read_text() + "\n")
        assert (n_checked(), n_checked()) == (4, 0), name
    monkeypatch.setattr("ratchet.params.check_block", _refuse)
    path.write_text(path.read_text() + "\n")
    for _ in range(2):  # what was refused is not remembered as accepted
        with pytest.raises(ParamsError, match="too small"):
            workspace.check_all_params(root)


def _refuse(*_: object) -> None:
    raise ParamsError("It is too small.")


def test_a_second_run_in_the_workspace_is_refused(root: Path) -> None:
    workspace.lock_workspace(root)
    workspace.lock_workspace(root)  # the holder itself may ask again
    done = _command_line(root)
    assert done.returncode == 1
    assert f"Another run is at work in this workspace.\n  where: {root}\n  got: process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from flows.runner.workspace import lock_workspace\n"
        "lock_workspace(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == -9
    assert (tmp_path / workspace.LOCK).exists()
    workspace.lock_workspace(tmp_path)


def test_outside_a_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no pipeline here"):
        workspace.prepare(tmp_path)


@pytest.mark.parametrize("text", ["", '{"write": {"a', "[]", '{"write": {"a": {}}}'])
def test_a_broken_rwlock_is_removed(tmp_path: Path, text: str) -> None:
    path = tmp_path / workspace.RWLOCK
    path.parent.mkdir(parents=True)
    path.write_text(text)
    workspace.clean_rwlock(tmp_path)
    assert not path.exists()


def test_entries_of_living_dvc_processes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / workspace.RWLOCK
    path.parent.mkdir(parents=True)
    mine, gone = {"pid": 11, "cmd": "dvc"}, {"pid": 12, "cmd": "dvc"}
    path.write_text(json.dumps({"write": {"a": gone, "b": mine}, "read": {"c": [gone], "d": [mine, gone]}}))
    monkeypatch.setattr(workspace, "dvc_processes", lambda root: [11])
    workspace.clean_rwlock(tmp_path)
    assert json.loads(path.read_text()) == {"write": {"b": mine}, "read": {"d": [mine]}}


def test_a_broken_rwlock_in_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / workspace.RWLOCK
    path.parent.mkdir(parents=True)
    path.touch()
    monkeypatch.setattr(workspace, "dvc_processes", lambda root: [11])
    with pytest.raises(PipelineError, match="wait for process 11"):
        workspace.clean_rwlock(tmp_path)
    assert path.exists()
