"""Classes and labels of a local source are held against each other before anything runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.checks.blocks import check_blocks
from flows.checks.classes import check_classes
from flows.checks.finding import Finding
from flows.checks.labels import check_labels
from flows.checks.personal_data import check_personal_data
from flows.checks.project import Project
from ratchet.data.sources.dialect import CSV
from ratchet.params import read_yaml
from tests.support.params import FILMS

Row = tuple[str, str, str]
"""Text, label and time."""


def _rows(labels: Mapping[str, int], first_day: int = 1) -> list[Row]:
    """Rows of each class in turn, a day apart."""
    each = [label for label, n in labels.items() for _ in range(n)]
    return [(f"text {label} {at}", label, f"2026-01-{first_day + at:02}") for at, label in enumerate(each)]


def _project(root: Path, rows: Sequence[Row], changes: Mapping[str, Mapping[str, Any]]) -> Project:
    """A task of the classes bug and praise, with a source of these rows in two files."""
    for name, part in (("a", rows[::2]), ("b", rows[1::2])):
        (root / "own").mkdir(exist_ok=True)
        with (root / f"own/{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label", "made"), *part])
    tree = read_yaml(FILMS / "params.yaml")
    source = {"kind": "files", "path": "own", "sha256": "", "dialect": CSV.model_dump(), "max_bad_rows": 0}
    blocks: dict[str, dict[str, Any]] = {
        "task": {
            "classes": [{"name": name, "values": [name]} for name in ("bug", "praise")],
            "selected": [],
            "source_column": "",
            "time_column": "made",
        },
        "ingest": {"source": source, "watch": "own"},
        "split": {"train_sources": []},
    }
    for name in ("task", "ingest", "validate", "split", "sample"):
        tree[name] = {**tree[name], **blocks.get(name, {}), **changes.get(name, {})}
    kept = {name: tree[name] for name in ("task", "ingest", "validate", "split", "sample")}
    project = Project(root, kept, {name: {} for name in kept if name != "task"})
    check_blocks(project)
    assert {*project.blocks} == {"ingest", "validate", "split", "sample"}
    return project


def _found(root: Path, labels: Mapping[str, int], **changes: Mapping[str, Any]) -> list[Finding]:
    return check_classes(_project(root, _rows(labels), changes))


def test_classes_with_labels_are_passed_over(tmp_path: Path) -> None:
    assert _found(tmp_path, {"bug": 5, "praise": 5, "": 3}) == []


def test_a_label_that_means_no_class_stops_unless_it_is_ignored(tmp_path: Path) -> None:
    labels = {"bug": 5, "unsure": 2, "praise": 5}
    (found,) = _found(tmp_path, labels)
    assert (found.severity, found.got) == ("error", "'unsure' (2 times)")
    assert "task.ignored_labels" in found.fix
    assert _found(tmp_path, labels, task={"ignored_labels": ["unsure"]}) == []


@pytest.mark.parametrize(("n", "is_enough"), [(0, False), (2, False), (3, True)])
def test_a_class_with_fewer_texts_than_sides_is_named(tmp_path: Path, n: int, is_enough: bool) -> None:
    found = _found(tmp_path, {"bug": 5, "praise": n})
    assert [(item.severity, item.got) for item in found] == ([] if is_enough else [("error", f"praise: {n}")])


def test_a_class_after_the_cut_is_a_warning_and_an_error_where_one_is_left(tmp_path: Path) -> None:
    by_time = {"by": "time"}
    classes = [{"name": name, "values": [name]} for name in ("bug", "praise", "outage")]
    mixed = [row for pair in zip(_rows({"bug": 9}), _rows({"praise": 9}), strict=True) for row in pair]
    rows = [*mixed, *_rows({"outage": 4}, first_day=20)]
    (found,) = check_classes(_project(tmp_path, rows, {"split": by_time, "task": {"classes": classes}}))
    assert (found.severity, found.got) == ("warning", "outage: 4 texts")
    assert "split.by: hash" in found.fix
    assert check_classes(_project(tmp_path, rows, {"task": {"classes": classes}})) == []  # by hash it can be learnt
    (found,) = _found(tmp_path, {"bug": 17, "praise": 4}, split=by_time)
    assert (found.severity, found.got) == ("error", "praise: 4 texts")
    assert "Fewer than two classes" in found.what


def test_a_source_that_is_not_read_whole_says_nothing_of_rare_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.checks.classes.N_ROWS", 6)
    assert _found(tmp_path, {"bug": 20, "praise": 1}) == []
    (found,) = _found(tmp_path, {"bag": 20, "praise": 1})
    assert "in the first 11 rows" in found.what


def test_a_source_that_is_no_local_file_is_not_asked(tmp_path: Path) -> None:
    sql = {"kind": "sql", "url": "sqlite:///own/a.db", "password_variable": "", "sha256": ""}
    source = {"source": {**sql, "query": "SELECT text, label FROM rows ORDER BY id"}, "watch": "own"}
    assert check_classes(_project(tmp_path, [], {"ingest": source})) == []


def test_what_is_masked_in_texts_must_not_come_back(tmp_path: Path) -> None:
    masked = {"validate": {"personal_data": "mask"}}
    project = _project(tmp_path, [], masked)
    (tmp_path / "data/behaviour").mkdir(parents=True)
    (tmp_path / "data/behaviour/suite.yaml").write_text("tests:\n  - write to jo@example.org\n", encoding="utf-8")
    (tmp_path / "live.yaml").write_text("log:\n  personal_data: off\n", encoding="utf-8")
    case, log = check_personal_data(project)
    assert (case.where, case.got) == ("data/behaviour/suite.yaml:2", "emails")
    assert log.where == "live.yaml:2 log.personal_data"
    assert check_personal_data(_project(tmp_path, [], {})) == []


def test_a_budget_below_the_number_of_classes_is_refused(tmp_path: Path) -> None:
    classes = [{"name": name, "values": [name]} for name in ("bug", "praise", "outage")]
    changes: dict[str, Any] = {"task": {"classes": classes}, "sample": {"budget": 2, "n_initial": 2}}
    (found,) = (item for item in check_labels(_project(tmp_path, [], changes)) if item.severity == "error")
    assert found.got == "budget: 2, 3 classes"
