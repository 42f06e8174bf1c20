"""A review says what changed and only that: tables by id, verdicts, leaderboard, plots."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ratchet.errors import ReleaseError
from ratchet.reporting.change_page import gate_rows, leaderboard, verdict_line
from ratchet.reporting.data_change import read_tables, table_change
from ratchet.reporting.plots_change import declared_plots, draw_change
from ratchet.reporting.revisions import find_revision
from tests.support.registry import git


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
    assert change.schema == change.distribution == []


def test_columns_labels_and_lengths_that_moved_are_named() -> None:
    old = _table({str(key): "no" for key in range(10)})
    new = _table({str(key): "no" if key < 5 else "yes" for key in range(10)}).assign(text="a b c d e", score=0.5)
    change = table_change("t", old, new.drop(columns="id").assign(id=range(10)))
    assert "+score float64" in change.schema
    assert any(line.startswith("id: ") for line in change.schema)
    assert change.distribution == ["no: 100.0% → 50.0%", "yes: 0.0% → 50.0%", "median words: 3 → 5"]


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


def test_gates_that_changed_their_verdict_are_told_with_the_reason_and_cannot_write_html() -> None:
    before, after = _decision(True, ["small"]), _decision(False, ["small"])
    (row,) = gate_rows(before, after)
    assert "passed → failed" in row
    assert "<0.7>" not in row
    assert gate_rows(before, before) == []
    assert verdict_line(before, after) == "Before: accepted, **small**. After: rejected."


def test_only_bundles_that_moved_are_on_the_leaderboard() -> None:
    reports = [
        {"bundles": {name: {"metrics": {"accuracy": {"value": value}}} for name in ("small", "tiny", "same")}}
        for value in (0.7, 0.7)
    ]
    before, after = _decision(True, ["small", "tiny", "same"]), _decision(True, ["tiny", "small", "same"])
    rows = leaderboard(before, after, *reports)
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["tiny", "small"]
    assert "| 2 → 1 | 0.700 | 0 |" in rows[2]
    assert leaderboard(before, before, *reports) == []


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
