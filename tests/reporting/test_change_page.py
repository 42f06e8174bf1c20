"""A review says what changed and only that: verdict, ladder, gates, figures, params, tables, texts, plots."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ratchet.errors import ReleaseError
from ratchet.measure.estimate import Estimate
from ratchet.measure.report_files import write_report
from ratchet.reporting.change import Change, Section, Sources, describe, gate_rows, ladder, verdict_line
from ratchet.reporting.change_page import MAX_ROWS, markdown, page, print_change
from ratchet.reporting.data_change import data_rows, read_tables, table_change, text_rows
from ratchet.reporting.figure_change import compare_predictions, difference
from ratchet.reporting.plots_change import declared_plots, draw_change
from ratchet.reporting.revisions import WORKSPACE, Revision, find_revision, find_revisions
from tests.support.registry import ROOT, git


def _table(rows: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame({"id": list(rows), "label": pd.Series(list(rows.values()), dtype="str"), "text": "a b c"})


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_counted_as_sets_of_ids_would_count_them(seed: int) -> None:
    rng = random.Random(seed)
    old: dict[str, str | None] = {str(key): rng.choice(["no", "yes", None]) for key in rng.sample(range(40), 25)}
    new = {key: rng.choice([label, "no"]) for key, label in old.items() if rng.random() < 0.8}
    new |= {str(key): "yes" for key in range(100, 100 + rng.randrange(5))}
    shuffled = list(new.items())
    rng.shuffle(shuffled)
    change = table_change("t", _table(old), _table(dict(shuffled)))
    assert change.n_added == len(new.keys() - old.keys())
    assert change.n_removed == len(old.keys() - new.keys())
    assert change.n_relabeled == sum(old[key] != new[key] for key in old.keys() & new.keys())


def test_a_table_has_not_changed_against_itself() -> None:
    table = _table({"1": "no", "2": None})
    change = table_change("t", table, table)
    assert (change.n_added, change.n_removed, change.n_relabeled) == (0, 0, 0)
    assert change.schema == []
    assert change.groups == []
    assert change.came == change.went == {}


def test_columns_labels_and_lengths_that_moved_are_named() -> None:
    old = _table({str(key): "no" for key in range(10)})
    new = _table({str(key): "no" if key < 5 else "yes" for key in range(10)}).assign(text="a b c d e", score=0.5)
    change = table_change("t", old, new.drop(columns="id").assign(id=range(10)))
    assert "+score float64" in change.schema
    assert any(line.startswith("id: ") for line in change.schema)
    assert ("label=no", 10, 5) in change.groups
    assert ("label=yes", 0, 5) in change.groups
    assert ("words=≤3", 10, 0) in change.groups


def test_a_folder_of_tables_is_read_by_name(tmp_path: Path) -> None:
    for name in ("test", "train"):
        _table({"1": "no"}).to_parquet(tmp_path / f"{name}.parquet")
    assert sorted(read_tables(tmp_path)) == ["test.parquet", "train.parquet"]
    assert list(read_tables(tmp_path / "test.parquet")) == ["test.parquet"]


def _decision(passed: bool, ranking: list[str]) -> dict[str, Any]:
    gate = {
        "metric": "accuracy",
        "against": "absolute",
        "comparison": "at_least",
        "rule": "value",
        "passed": passed,
        "reason": "accuracy is <0.7>",
    }
    return {
        "verdict": "accepted" if passed else "rejected",
        "chosen": "small" if passed else None,
        "ranking": ranking,
        "bundles": {name: {"gates": [gate]} for name in ranking},
    }


def test_gates_that_changed_their_verdict_are_listed_with_the_reason() -> None:
    before, after = _decision(True, ["small"]), _decision(False, ["small"])
    assert gate_rows(before, after) == [["small", "accuracy", "passed → failed", "accuracy is <0.7>"]]
    assert gate_rows(before, before) == []
    assert verdict_line(before, after) == "Before: accepted, small. After: rejected."


def test_the_ladder_has_a_line_a_bundle_once_one_moved() -> None:
    def report(accuracy: float, latency_ms: float) -> dict[str, Any]:
        metrics = {
            "accuracy": {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02, "n": 900},
            "latency_p95_ms": {"value": latency_ms},
            "size_mb": {"value": 7.4},
        }
        return {"bundles": {name: {"metrics": metrics} for name in ("small", "tiny")}}

    decisions = _decision(True, ["small", "tiny"]), _decision(True, ["tiny", "small"])
    rows = ladder(decisions, (report(0.8, 3.0), report(0.8, 2.5)))
    assert rows[0] == ["tiny", "2 → 1", "0.800 [0.780, 0.820]", "3 → 2.50", "7.40"]
    assert [row[0] for row in rows] == ["tiny", "small"]
    assert ladder(decisions[:1] * 2, (report(0.8, 3.0), report(0.8, 3.0))) == []


@pytest.mark.parametrize("seed", range(5))
def test_two_samples_of_one_rate_seldom_differ_beyond_their_intervals(seed: int) -> None:
    """Of 400 pairs of equal rates about 5 % are called different, and those that differ by a lot nearly always."""
    rng = np.random.default_rng(seed)

    def sample(rate: float) -> Estimate:
        value = float(rng.binomial(900, rate)) / 900
        half = 1.96 * (value * (1 - value) / 900) ** 0.5
        return Estimate(value, value - half, value + half, 900)

    assert sum(difference(sample(0.8), sample(0.8)) is not None for _ in range(400)) < 40
    assert sum(difference(sample(0.8), sample(0.88)) is not None for _ in range(400)) > 380


def test_predictions_are_compared_text_by_text(tmp_path: Path) -> None:
    ids = [f"t{index:03}" for index in range(400)]
    frame = pd.DataFrame({"id": ids, "split": "validation", "bundle": "small", "label": "yes", "predicted": "yes"})
    frame.loc[:79, "predicted"] = "no"
    frame.to_parquet(tmp_path / "before.parquet")
    after = frame.iloc[::-1].assign(predicted=lambda rows: rows["predicted"].where(rows["id"] >= "t010", "yes"))
    after.to_parquet(tmp_path / "after.parquet")
    ((moved, name, old, new, difference),) = compare_predictions(
        tmp_path / "before.parquet", tmp_path / "after.parquet"
    )
    assert (moved, name, old, new) == (True, "small", "0.800", "0.825")  # each alone ± 0.04: only pairs can tell
    assert "of 400 texts" in difference


def test_texts_that_came_and_went_are_named_once() -> None:
    old, new = _table({"1": "no", "2": "no"}), _table({"2": "no", "3": "yes"})
    change = table_change("data/corpus.parquet", old, new)
    again = table_change("data/labeled.parquet", old, new)
    assert text_rows([change, again]) == [
        ["data/corpus.parquet", "came", "3", "a b c"],
        ["data/corpus.parquet", "went", "1", "a b c"],
    ]
    assert data_rows([change])[:2] == [
        ["data/corpus.parquet", "rows", "2", "2"],
        ["data/corpus.parquet", "1 came, 1 went", "", ""],
    ]


SOURCES = Sources(
    "reports/evaluate.json",
    "reports/decision.json",
    "data/predictions.parquet",
    "dvc.lock",
    "dvc.yaml",
    "data",
    "pipeline_steps",
)


@pytest.fixture
def renamed(tmp_path: Path) -> Path:
    """A clone in which a stage, its report and its params were renamed, and one figure of it moved."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "Ann")
    git(tmp_path, "config", "user.email", "ann@example.org")
    (tmp_path / "pipeline_steps").mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    for name, gap in (("probe", 0.1), ("counterfactuals", 0.3)):
        for path in [*(tmp_path / "pipeline_steps").iterdir(), *(tmp_path / "reports").glob("*")]:
            path.unlink()
        figures = {f"rate_{index}": _rate(index / 20) for index in range(10)} | {"gap": _rate(gap)}
        write_report(tmp_path / f"reports/{name}.json", {"bundles": {"small": {"metrics": figures}}})
        (tmp_path / f"pipeline_steps/{name}.py").write_text("\n".join(f"step_{line} = {line}" for line in range(20)))
        outs = [{"path": f"reports/{name}.json", "md5": name}]
        (tmp_path / "dvc.lock").write_text(
            json.dumps({"schema": "2.0", "stages": {name: {"cmd": "true", "outs": outs}}})
        )
        (tmp_path / "dvc.yaml").write_text(f"stages:\n  {name}:\n    cmd: 'true'\n    params: [{name}]\n")
        (tmp_path / "params.yaml").write_text(json.dumps({name: {"n": 3, "seed": len(name)}}))
        git(tmp_path, "add", "--all")
        git(tmp_path, "commit", "--quiet", "-m", name)
    return tmp_path


def _rate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 300}


def test_a_renamed_stage_is_compared_with_its_former_self(renamed: Path) -> None:
    change = describe(*find_revisions(renamed, "HEAD~1", "HEAD"), SOURCES)
    rows = {section.title: section.rows for section in change.sections}
    ((report, figure, *_),) = rows["Figures beyond their intervals"]
    assert (report, figure) == ("counterfactuals.json", "small.gap")
    assert rows["Params"] == [["counterfactuals.seed", "5", "15"]]


def test_tables_and_predictions_are_compared_with_those_in_dvcs_cache(tmp_path: Path) -> None:
    """One text goes, one comes; the bundle of the working tree is right on more of the same texts."""
    git(tmp_path, "init", "--quiet")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    files = ["texts.parquet", "predictions.parquet"]
    command = "cp " + " ".join(f"made/{name}" for name in files) + " data"
    stage = {"cmd": command, "deps": ["made"], "outs": [f"data/{name}" for name in files]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"make": stage}}))
    (tmp_path / "made").mkdir()
    (tmp_path / "data").mkdir()
    ids = [f"t{index:03}" for index in range(300)]
    for n_wrong, labels in ((60, {"1": "no", "2": "no"}), (40, {"2": "yes", "3": "no"})):
        _table({**labels}).assign(source="web").to_parquet(tmp_path / "made/texts.parquet")
        predicted = ["no"] * n_wrong + ["yes"] * (300 - n_wrong)
        frame = pd.DataFrame(
            {"id": ids, "split": "validation", "bundle": "small", "label": "yes", "predicted": predicted}
        )
        frame.to_parquet(tmp_path / "made/predictions.parquet")
        subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=tmp_path, check=True)
        if n_wrong == 60:
            git(tmp_path, "add", "--all")
            git(tmp_path, "-c", "user.name=Ann", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "Before")
    change = describe(*find_revisions(tmp_path, "HEAD", None), SOURCES)
    rows = {section.title: section.rows for section in change.sections}
    assert ["data/texts.parquet", "1 came, 1 went, 1 relabelled", "", ""] in rows["Data"]
    assert ["data/texts.parquet", "label=yes", "0", "1"] in rows["Data"]
    assert [row[1:3] for row in rows["Texts that came and went"]] == [["came", "3"], ["went", "1"]]
    ((report, figure, old, new, _),) = rows["Figures beyond their intervals"]
    assert (report, figure, old, new) == ("predictions.parquet", "small: accuracy, text by text", "0.800", "0.867")


def test_without_a_head_the_working_tree_is_compared(renamed: Path) -> None:
    (renamed / "params.yaml").write_text(json.dumps({"counterfactuals": {"n": 4, "seed": 15}}))
    before, after = find_revisions(renamed, "HEAD", None)
    change = describe(before, after, SOURCES)
    assert change.after == after.label == WORKSPACE
    assert {section.title: section.rows for section in change.sections}["Params"] == [["counterfactuals.n", "3", "4"]]
    assert Revision(renamed, "").json("reports/counterfactuals.json") == before.json("reports/counterfactuals.json")


def test_every_form_shows_every_section_and_none_takes_a_text_for_markup() -> None:
    rows = [["a | b", "<script>"], *([["x", str(index)] for index in range(MAX_ROWS)])]
    change = Change(
        "one", "two", "Before: x. After: y.", [Section("Texts", ("id", "text"), rows), Section("Gates", ("g",))]
    )
    comment, html = markdown(change), page(change)
    console = Console(width=100, record=True, file=io.StringIO())
    print_change(change, console)
    shown = console.export_text()
    assert "<script>" in shown
    for text in (comment, html, shown):
        assert "Texts" in text
        assert "Unchanged: gates." in text
    assert "| a \\| b | &lt;script> |" in comment
    assert "<script>" not in html
    assert "and 1 more" in comment
    assert html.count("<tr>") == MAX_ROWS + 2


def test_the_command_refuses_an_unknown_revision_with_one_message(renamed: Path) -> None:
    command = [sys.executable, "-m", "ratchet", "diff", "nothing", "--root", str(renamed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: There is no such revision.")
    assert "Traceback" not in done.stderr


def test_a_plot_is_drawn_the_same_twice(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2, 1, 2], "y": [0.1, 0.2, 0.3, 0.4], "who": ["a", "a", "b", "b"]})
    for name in ("one.png", "two.png"):
        draw_change("curve", {"before": frame, "after": frame.assign(y=frame["y"] + 0.1)}, "n", "y", tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    pipeline = {
        "stages": {"s": {"plots": [{"a.csv": {"x": "n", "y": "y"}}, {"b.json": {"x": "n", "y": "y"}}, "c.csv"]}}
    }
    assert declared_plots(pipeline) == {"a.csv": ("n", "y")}


def test_a_revision_that_does_not_exist_or_looks_like_an_option_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    for name in ("nothing", "--output=x"):
        with pytest.raises(ReleaseError, match="no such revision"):
            find_revision(tmp_path, name)
