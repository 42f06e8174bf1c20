"""A trial measures one technique beside a bundle of the run, and writes to no output of the run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from flows.techniques import trials
from flows.techniques.catalogue import TECHNIQUES
from flows.techniques.trials import RECORD, SCRATCH, Row, attempt, records, table
from ratchet.__main__ import app
from ratchet.engines.compiling import known_engines
from ratchet.errors import ParamsError, PipelineError
from ratchet.files import sha256_file, write_json
from ratchet.models.left_out import leave_out
from ratchet.models.tuning import Method
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.support.bundles import torch_bundle
from tests.support.films import FILMS
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run of the miniature leaves behind, as far as the trials here need it."""
    params = read_yaml(FILMS / "params.yaml")
    params["task"] |= {"n_bootstrap": 100, "inference_threads": 1, "train_threads": 1}
    params["export"] |= {"n_calibration": 8, "n_check": 8}
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(params, stream)
    torch_bundle(tmp_path / "models", n_layers=1)
    for name, n, seed in (("train", 20, 1), ("validation", 30, 2)):
        write_table(tmp_path / f"data/splits/{name}.parquet", reviews(n, seed), SPLIT)
    return tmp_path


def bytes_of(root: Path) -> dict[str, str]:
    """Path → hash of every file but those of trials."""
    files = [path for path in root.rglob("*") if path.is_file() and SCRATCH.parts[0] not in path.parts]
    return {path.relative_to(root).as_posix(): sha256_file(path) for path in files}


@pytest.mark.parametrize("name", list(TECHNIQUES))
def test_a_technique_runs_stages_that_there_are_and_changes_values_that_there_are(name: str) -> None:
    technique, params = TECHNIQUES[name], read_yaml(ROOT / "params.yaml")
    stages, made = read_yaml(ROOT / "dvc.yaml")["stages"], []
    for step in technique.steps:
        stage, *arguments = step.split()
        matrix = stages[stage].get("matrix", {})
        assert len(arguments) == len(matrix)
        if stage == "export":
            assert arguments[1] in known_engines()
        writes = import_module(f"pipeline_steps.{stage}").WRITES.values()
        made += [path.format(**dict(zip(matrix, arguments, strict=True))) for path in writes]
    assert f"models/{technique.makes}" in made
    for key in technique.changes:
        block, _, field = key.partition(".")
        assert field in params[block]
    assert technique.changes.get("train.method", "full") in Method.__args__  # type: ignore[attr-defined]
    assert technique.about
    assert technique.owned


@pytest.mark.slow
def test_a_trial_is_compared_with_the_run_and_leaves_it_alone(run: Path) -> None:
    before = bytes_of(run)
    row = attempt(run, "compile")
    assert bytes_of(run) == before
    assert (row.technique, row.against, row.metric) == ("compile", "teacher", "accuracy")
    assert row.difference["value"] == 0.0, "the same weights in another engine"
    assert row.difference["n"] == 30
    assert row.seconds > 0
    assert records(run) == [row]
    assert "| compile | teacher | +0.0 [" in table([row])
    again = attempt(run, "compile", against="teacher")
    assert again.mb == row.mb


@pytest.mark.slow
def test_what_the_task_cannot_have_says_why(run: Path) -> None:
    leave_out(run / "models/static", "TF-IDF is better")
    torch_bundle(run / "models", "teacher-onnx-int8", n_layers=1)
    with pytest.raises(PipelineError, match="TF-IDF is better"):
        attempt(run, "cascade")
    assert records(run) == []


def test_what_the_run_has_not_made_is_named(run: Path) -> None:
    with pytest.raises(PipelineError, match=r"teaching\.json"):
        attempt(run, "distil")


def test_unknown_names_are_refused_before_anything_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    monkeypatch.setattr(trials, "attempt", lambda *_: pytest.fail("something ran"))
    found = CliRunner().invoke(app, ["try", "quantize", "quantise"])
    assert isinstance(found.exception, ParamsError)
    assert "quantise" in str(found.exception)
    with pytest.raises(ParamsError, match="no such bundle"):
        attempt(run, "quantize", against="techer")
    assert not (run / SCRATCH).exists()


def test_all_goes_on_where_one_cannot_be_had(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    gain: dict[str, Any] = {"value": 0.012, "low": 0.003, "high": 0.021, "n": 800}

    def tried(_root: Path, name: str, _against: str) -> Row:
        if name == "openvino":
            raise PipelineError("The task cannot have this technique.", got="no engine")
        return Row(name, "teacher", "accuracy", "points", gain, 40.0, 0.0, (20.0, 21.0))

    monkeypatch.setattr(trials, "attempt", tried)
    printed = CliRunner().invoke(app, ["try", "--all"]).output
    assert "lora: +1.2 [+0.3, +2.1] points of accuracy against teacher, 40 s, +0.0 MB" in printed
    assert "no engine" in printed
    assert len([line for line in printed.splitlines() if " points of " in line]) == len(TECHNIQUES) - 1


def test_a_table_of_trials_stands_in_a_page(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    gain = {"value": -0.01, "low": -0.02, "high": 0.0, "n": 800}
    row = Row("static", "teacher", "accuracy", "points", gain, 12.0, -90.0, (0.2, 21.0))
    write_json(run / SCRATCH / "static" / RECORD, row._asdict())
    (run / "page.md").write_text("<!-- techniques-alone:start -->\n<!-- techniques-alone:end -->\n")
    assert CliRunner().invoke(app, ["try", "--into", "page.md"]).exit_code == 0
    assert "| static | teacher | -1.0 [-2.0, +0.0] points | 12 | -90.0 | 0.2 for 21 |" in (run / "page.md").read_text()
