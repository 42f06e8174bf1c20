"""Choosing texts on any set: what is bought, what is kept of a stopped run, and what the figures say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import label_choice
from benchmarks.league.sets import Labelled
from ratchet.files import read_json
from ratchet.measure.primary import primary_metric

SIZES = (6, 18, 3)


def _parted(data: Labelled) -> label_choice.Parted:
    """Three classes as three directions, the third one rare."""
    rng = np.random.default_rng(5)
    targets = rng.choice(3, 300, p=[0.48, 0.48, 0.04])
    vectors = (np.eye(3)[targets] + rng.normal(0, 0.4, (300, 3))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"text {row}" for row in range(200)]
    metric = primary_metric(data.metric, data.classes)
    sides = (vectors[:200], targets[200:], vectors[200:])
    return label_choice.Parted(data, metric, texts, targets[:200], sides[0], texts[:100], sides[1], sides[2], Path())


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Labelled:
    monkeypatch.setattr(label_choice, "parted", _parted)
    return Labelled("toys", [], [], [], [], ["a", "b", "c"], "macro_f1", "made for the test")


def test_all_strategies_start_alike_and_buy_each_row_once(data: Labelled, tmp_path: Path) -> None:
    paths = [*label_choice.probe_cells(tmp_path, [data], ["random", "margin"], 2, SIZES)]
    cells = {(cell["strategy"], cell["draw"]): cell for cell in map(read_json, paths)}
    assert len(cells) == 4
    for cell in cells.values():
        assert len(set(cell["rows"])) == len(cell["rows"]) == 18
        assert len(cell["scores"]) == 4
    assert cells["random", 0]["rows"][:6] == cells["margin", 0]["rows"][:6] != cells["random", 1]["rows"][:6]
    assert cells["random", 0]["rows"] != cells["margin", 0]["rows"]


def test_a_stopped_run_carries_on_with_the_cells_that_are_lacking(
    data: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(label_choice.probe_cells(tmp_path, [data], ["random", "margin"], 1, SIZES))
    before = first.read_bytes()
    monkeypatch.setattr(label_choice, "bought", lambda *_: ([0], [0.5]))
    (second,) = label_choice.probe_cells(tmp_path, [data], ["random", "margin"], 1, SIZES)
    assert (first.stem, second.stem) == ("random", "margin")
    assert first.read_bytes() == before


def test_a_gain_is_paired_with_chance_by_draw_and_held_against_the_number_of_strategies() -> None:
    curve = np.linspace(0.5, 0.7, 10)
    cells = [
        {
            "data": "toys",
            "metric": "accuracy",
            "classes": ["a", "b"],
            "draw": draw,
            "strategy": name,
            "n_test": 50,
            "scores": (curve + 0.01 * draw + gain * (1 + 0.1 * draw)).tolist(),
        }
        for draw in range(4)
        for name, gain in {"random": 0.0, "better": 0.05, "worse": -0.03}.items()
    ]
    rows = label_choice._probed(cells)["strategies"]
    assert rows["better"]["gain"]["value"] == pytest.approx(0.05 * 1.15)
    assert rows["better"]["gain"]["low"] > 0 > rows["worse"]["gain"]["high"]
    assert rows["better"]["labels"]["value"] < 500
    assert "gain" not in rows["random"]
    assert all(0 < rows[name]["p_holm"] < 0.05 for name in ("better", "worse"))
