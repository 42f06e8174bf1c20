"""The copy that orchestration is measured on has the graph of this repository, and commands that only write files."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import orchestration
from flows.runner import summary
from ratchet.errors import PipelineError
from ratchet.files import write_json
from ratchet.params import read_yaml


def _without_commands(root: Path) -> dict[str, Any]:
    stages = read_yaml(root / "dvc.yaml")["stages"]
    return {name: {key: value for key, value in stage.items() if key != "cmd"} for name, stage in stages.items()}


def test_the_copy_differs_in_its_commands_alone(tmp_path: Path) -> None:
    orchestration.make_copy(tmp_path)
    assert _without_commands(tmp_path) == _without_commands(orchestration.ROOT)
    stage = read_yaml(tmp_path / "dvc.yaml")["stages"]["train"]
    subprocess.run(stage["cmd"], cwd=tmp_path, shell=True, check=True)
    for path in (*stage["outs"], *stage["plots"]):
        name = path if isinstance(path, str) else next(iter(path))
        assert json.loads((tmp_path / name).read_text()) == orchestration.REPORT


def test_what_the_stages_write_is_enough_for_the_summary_that_a_run_ends_with(tmp_path: Path) -> None:
    for path in (summary.EVALUATION, summary.JUDGEMENT, summary.DECISION):
        write_json(tmp_path / path, orchestration.REPORT)
        write_json(tmp_path / summary.MEASUREMENTS / path.name, orchestration.REPORT)
    console = Console(file=io.StringIO())
    summary.print_summary(tmp_path, console)
    assert "Promotion: rejected" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    assert orchestration.seconds(tmp_path, ("true",), {"PATH": "/usr/bin:/bin"}) < 60
    with pytest.raises(PipelineError, match="no such folder"):
        orchestration.seconds(tmp_path, ("sh", "-c", "echo no such folder >&2; exit 2"), {"PATH": "/usr/bin:/bin"})


def test_ratios_are_taken_within_a_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    times = iter([9.0, 9.0, 1.0, 2.0, 10.0, 10.0, 2.0, 3.0])  # the first round is not counted
    monkeypatch.setattr(orchestration, "seconds", lambda *_: next(times))
    found = orchestration.time_nothing_to_do(tmp_path, {}, 3)
    assert (found["ratio"]["value"], found["dvc_s"]["value"], found["run_s"]["value"]) == (1.5, 2.0, 3.0)
