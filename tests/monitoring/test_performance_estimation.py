"""Accuracy without labels: right where probabilities mean what they say, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ratchet.monitoring.performance_estimation import estimate_accuracy, fit_estimator


def answers(
    n: int, sharpness: float, rng: np.random.Generator, overconfident: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities and classes drawn from them; the probabilities are then made too sure."""
    logit = sharpness * rng.standard_normal(n)
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    positive = 1 / (1 + np.exp(-overconfident * logit))
    return np.stack([1 - positive, positive], axis=1), y


@pytest.mark.parametrize("overconfident", [1.0, 2.0])
def test_estimates_follow_the_accuracy_of_other_texts(overconfident: float) -> None:
    rng = np.random.default_rng(0)
    fitted = fit_estimator(*answers(3000, 2.0, rng, overconfident))
    assert fitted.temperature == pytest.approx(overconfident, rel=0.15)
    for sharpness in (2.0, 1.2):  # the second: harder texts
        proba, y = answers(4000, sharpness, rng, overconfident)
        accuracy = (proba.argmax(axis=1) == y).mean()
        found = estimate_accuracy(proba, fitted)
        for name in ("cbpe", "doc"):
            assert found[name].value == pytest.approx(accuracy, abs=0.03)
            assert found[name].low < accuracy < found[name].high
        assert found["atc"].value == pytest.approx(accuracy, abs=0.1)  # counts on the order of confidences to keep


def test_on_the_reference_itself_every_estimate_is_its_accuracy() -> None:
    proba, y = answers(2000, 2.0, np.random.default_rng(1))
    accuracy = (proba.argmax(axis=1) == y).mean()
    found = estimate_accuracy(proba, fit_estimator(proba, y))
    assert found["doc"].value == pytest.approx(accuracy)
    assert found["atc"].value == pytest.approx(accuracy, abs=1e-3)
    assert found["cbpe"].value == pytest.approx(accuracy, abs=0.02)


def test_without_texts_they_are_undefined() -> None:
    fitted = fit_estimator(*answers(100, 2.0, np.random.default_rng(2)))
    assert all(np.isnan(item.value) for item in estimate_accuracy(np.zeros((0, 2)), fitted).values())
