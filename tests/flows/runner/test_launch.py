"""A run that has nothing to do says so without Prefect; one that has, is a flow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.runner import launch
from ratchet.registry.audit_log import entries
from tests.support.miniature import environment, make_repository, stages_run, write_params

NOTHING_TO_DO = """
import sys
from pathlib import Path
from flows.runner.launch import run
code = run(Path.cwd())
heavy = [name for name in ("prefect", "pandas", "pydantic", "dvc") if name in sys.modules]
print(code, heavy)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature repository in which everything has run once, by plain DVC."""
    root = make_repository(tmp_path_factory.mktemp("miniature"))
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, env=environment(), check=True)
    stages_run(root)
    return root


@pytest.fixture(autouse=True)
def environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process keeps its own Prefect home."""
    monkeypatch.setattr(launch, "set_environment", lambda root: None)


def test_nothing_to_do_is_reported_without_prefect(root: Path) -> None:
    for _ in range(2):  # the first run checks the params, for which it imports the steps
        command = [sys.executable, "-c", NOTHING_TO_DO]
        done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[1/4] source — cached",
        "[2/4] left — cached",
        "[3/4] right — cached",
        "[4/4] end — cached",
        "4 stages: cached 4",
        "0 ['pydantic']",  # by the audit log
    ]
    assert (done.stderr, stages_run(root), (root / ".prefect").exists()) == ("", [], False)
    assert entries(root / ".ratchet/audit.jsonl")[-1].details["n_cached"] == 4


def test_a_target_that_is_up_to_date_is_alone(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch.run(root, ["left"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "[1/2] source — cached",
        "[2/2] left — cached",
        "2 stages: cached 2",
    ]
    assert launch.run(root, ["ghost"]) == 1
    assert "There is no such stage." in capfd.readouterr().err


def test_a_stale_stage_starts_the_flow(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Any, ...]] = []

    def pipeline(*arguments: Any, return_state: bool) -> SimpleNamespace:
        calls.append(arguments)
        return SimpleNamespace(is_completed=lambda: True, name="Completed", message="4 stages: ran 4")

    monkeypatch.setitem(sys.modules, "flows.pipeline", SimpleNamespace(pipeline=pipeline))
    monkeypatch.setattr(launch, "start_guard", lambda root: None)
    monkeypatch.setattr("flows.checks.checklist.require", lambda root: None)  # the steps of the miniature are its own
    write_params(root, left=3)
    assert (launch.run(root, ["right"]), calls) == (0, [])
    assert launch.run(root, ["left"], verbose=True, max_workers=3) == 0
    assert calls == [(["left"], 3, True)]
    assert capfd.readouterr().out.endswith("4 stages: ran 4\n")
    write_params(root)
