"""What the next labels are worth: told before they are bought, and it says when to stop."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.errors import TrainingError
from ratchet.labels.forecast import LEAST, Forecast, forecast
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import primary_metric
from ratchet.models.predictor import softmax
from ratchet.models.probe import Indices, Vectors, fit_probe

ACCURACY = primary_metric("accuracy", ["a", "b", "c"])


def drawn(n: int, seed: int, noise: float = 1.6, n_dimensions: int = 40) -> tuple[Vectors, Indices]:
    """Texts of three classes around three centres."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 3, n)
    centres = np.eye(3, n_dimensions) * 3
    vectors = centres[targets] + noise * rng.normal(size=(n, n_dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), targets


def reached(vectors: Vectors, targets: Indices) -> float:
    test_vectors, test_targets = drawn(4000, 99)
    probe = fit_probe(vectors, targets, 3, 10.0)
    return ACCURACY.value(test_targets, softmax(probe.logits(test_vectors)))


@pytest.mark.parametrize("n", [60, 150])
def test_what_comes_lies_within_what_was_told(n: int) -> None:
    held, told = 0, []
    for seed in range(8):
        vectors, targets = drawn(n + 100, seed)
        found = forecast(vectors[:n], targets[:n], ACCURACY, 100, seed)
        came = reached(vectors, targets) - reached(vectors[:n], targets[:n])
        held += found.gain.low <= came <= found.gain.high
        told.append(found.gain.value)
    assert held >= 7
    assert np.mean(told) > 0, "more labels help here"


def test_the_more_there_are_the_less_a_hundred_bring() -> None:
    few, many = (forecast(*drawn(n, 1), ACCURACY, 100) for n in (60, 1200))
    assert many.gain.value < few.gain.value
    assert many.gain.high - many.gain.low < few.gain.high - few.gain.low
    assert many.now.value > few.now.value


def test_labels_that_teach_nothing_are_told_to_be_worth_nothing() -> None:
    vectors, targets = drawn(800, 2)
    found = forecast(vectors, np.random.default_rng(0).permutation(targets), ACCURACY, 100)
    assert abs(found.gain.value) < 0.02
    assert found.advice(0.1).startswith("stop")


def test_the_class_that_gains_most_comes_first_and_costs_fall_where_accuracy_rises() -> None:
    vectors, targets = drawn(300, 3)
    rare = np.flatnonzero((targets != 2) | (np.arange(300) % 8 == 0))
    found = forecast(vectors[rare], targets[rare], ACCURACY)
    assert next(iter(found.by_class)) == "c", "few of it were labelled"
    costs = primary_metric("expected_cost", ["a", "b", "c"], cost_matrix=[[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    cost = forecast(vectors[rare], targets[rare], costs)
    assert cost.gain.value == pytest.approx(found.gain.value, abs=0.01), "a gain is a gain, also where less is better"


def test_advice_compares_the_interval_with_what_a_gain_is_worth() -> None:
    def of(low: float, high: float) -> Forecast:
        return Forecast(200, 100, Estimate(0.8, 0.75, 0.85, 200), Estimate((low + high) / 2, low, high, 200), {})

    assert of(-0.01, 0.004).advice(0.005).startswith("stop")
    assert of(0.01, 0.03).advice(0.005).startswith("go on: ")
    assert of(0.001, 0.03).advice(0.005).startswith("go on, to see")


def test_too_few_labels_are_named() -> None:
    vectors, targets = drawn(LEAST, 4)
    forecast(vectors, targets, ACCURACY)
    for rows in (slice(LEAST - 1), targets == 0):
        with pytest.raises(TrainingError, match="too few labels"):
            forecast(vectors[rows], targets[rows], ACCURACY)
