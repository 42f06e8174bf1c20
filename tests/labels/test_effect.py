"""Corrections of wrong labels make the model better, corruptions worse, and both are shown with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ratchet.labels.effect import CLOSED, Effect, effect_of_corrections
from ratchet.labels.selection_model import unit_length
from ratchet.measure.bootstrap import weights
from ratchet.measure.primary import primary_metric

METRIC = primary_metric("accuracy", ["a", "b", "c"])


def texts(n: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Unit vectors around three directions, and which."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, n)
    return unit_length((np.eye(8)[classes] + rng.normal(0, 0.55, (n, 8))).astype(np.float32)), classes


@pytest.fixture(scope="module")
def truth() -> tuple[NDArray[Any], NDArray[Any]]:
    return texts(300, 1)


def flipped(classes: NDArray[Any], n: int) -> NDArray[Any]:
    """The first n of class 0 are called class 1: an error that a fit cannot average out."""
    found = classes.copy()
    found[np.flatnonzero(classes == 0)[:n]] = 1
    return found


def measure(truth: tuple[NDArray[Any], NDArray[Any]], before: NDArray[Any], after: NDArray[Any]) -> tuple[Effect, str]:
    w = weights(500, 300, np.random.default_rng(0))
    found = effect_of_corrections(truth[0], before, after, texts(500, 2), METRIC, 10.0, w)
    assert found.gain.value == pytest.approx(found.after.value - found.before.value)
    return found, found.advice


def test_corrections_pay_corruptions_do_not_and_few_show_nothing(truth: tuple[NDArray[Any], NDArray[Any]]) -> None:
    wrong = flipped(truth[1], 60)
    better, told = measure(truth, wrong, truth[1])
    assert better.n_changed == 60
    assert better.gain.low > 0
    assert "go on" in told
    worse, told = measure(truth, truth[1], wrong)
    assert worse.gain.high < 0
    assert "guidelines" in told
    assert "Neither" in measure(truth, flipped(truth[1], 1), truth[1])[1]
    assert "nothing to measure" in measure(truth, wrong, wrong)[1]


def test_a_closed_text_is_learned_from_no_more(truth: tuple[NDArray[Any], NDArray[Any]]) -> None:
    wrong = flipped(truth[1], 60)
    found, _ = measure(truth, wrong, np.where(wrong != truth[1], CLOSED, wrong))
    assert (found.n_changed, found.n_closed) == (0, 60)
    assert found.gain.low > 0
