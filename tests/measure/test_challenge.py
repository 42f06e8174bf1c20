"""The challenge figures by hand, and resampled by the text that a case comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ratchet.measure import bootstrap
from ratchet.measure.challenge import challenge_metrics, challenge_parts, failures, match_cases

FRAME = pd.DataFrame(
    [
        ("b", "weak", "word=x", "tb", "p"),
        ("a", "weak", "word=y", "ta", "n"),
        ("b", "weak", "word=y", "tb", "p"),
        ("a", "contrast", "swap", "ta!", "p"),
        ("b", "contrast", "swap", "tb!", "n"),
        ("c", "contrast", "negate", "tc!", "n"),
        ("a", "invariance", "typos", "ta?", "n"),
        ("c", "invariance", "typos", "tc?", "p"),
    ],
    columns=["id", "kind", "name", "text", "label"],
)
IDS = ["a", "b", "c", "d"]
Y_TEST, PRED_TEST = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 0])
CASES = match_cases(FRAME, (FRAME["label"] == "p").to_numpy().astype(np.int64), IDS)
PRED_CASES = np.array([0, 0, 0, 1, 0, 1, 1, 1])
W = bootstrap.weights(4, 400, np.random.default_rng(0))


def test_by_hand() -> None:
    found = {name: item.value for name, item in challenge_metrics(CASES, Y_TEST, PRED_TEST, PRED_CASES, W).items()}
    assert found == {
        "weak_slice_accuracy": 0.5,  # a right, b wrong; b counts once though it is in two slices
        "contrast_accuracy": pytest.approx(2 / 3),
        "contrast_consistency": pytest.approx(1 / 3),  # b's edit is right, b is not
        "invariance_violation_rate": 0.5,
    }
    parts = challenge_parts(CASES, Y_TEST, PRED_TEST, PRED_CASES, W)
    assert {kind: {name: item.value for name, item in names.items()} for kind, names in parts.items()} == {
        "weak": {"word=x": 0.0, "word=y": 0.5},
        "contrast": {"negate": 0.0, "swap": 0.5},
        "invariance": {"typos": 0.5},
    }
    assert CASES.edited.sum() == 5


def test_kinds_without_cases_have_no_figures() -> None:
    only = match_cases(FRAME[FRAME["kind"] == "invariance"].reset_index(drop=True), np.array([0, 1]), IDS)
    assert set(challenge_metrics(only, Y_TEST, PRED_TEST, np.array([1, 1]), W)) == {"invariance_violation_rate"}


def test_edits_of_one_text_are_one_observation() -> None:
    """Forty copies of the same two cases say no more than the two."""
    rows = pd.DataFrame(
        [("a", "contrast", "swap", "x", "p"), ("b", "contrast", "swap", "y", "n")] * 40, columns=FRAME.columns
    )
    cases = match_cases(rows, np.array([1, 0] * 40), IDS)
    estimate = challenge_metrics(cases, Y_TEST, Y_TEST, np.array([1, 1] * 40), W)["contrast_accuracy"]
    assert estimate.value == 0.5
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_failures_are_those_of_most_bundles_of_both_kinds() -> None:
    predicted = {"one": (PRED_TEST, PRED_CASES), "two": (PRED_TEST, np.array([0, 0, 0, 0, 0, 1, 0, 1]))}
    shown = failures(CASES, ["ta", "tb", "tc", "td"], ["n", "p"], predicted, 4)
    assert [(item["text"], item["edited"], item["n_failed"]) for item in shown] == [
        ("tc", "tc!", "2 of 2"),
        ("ta", "ta!", "1 of 2"),
        ("ta", "ta?", "1 of 2"),
    ]
    assert [item["expected"] for item in shown] == ["n", "p", "as before"]
    assert failures(CASES, ["ta", "tb", "tc", "td"], ["n", "p"], predicted, 0) == []
    assert len(failures(CASES, ["ta", "tb", "tc", "td"], ["n", "p"], predicted, 2)) == 2
