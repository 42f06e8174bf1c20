"""Confidence and detection against scikit-learn, and what must hold by definition."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.measure.bootstrap import group_draws, rate_draws, weights
from ratchet.measure.detection import auroc, false_alarms
from ratchet.measure.reliability import area_under_risk, reliability_bins, selective_curve, uncalibrated
from ratchet.models.predictor import softmax


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_auroc_is_scikit_learns_with_ties_and_its_interval_holds_it(seed: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    inside, outside = rng.normal(0, 1, 200).round(1), rng.normal(0.5, 1, 80).round(1)
    estimate = auroc(inside, outside, weights(200, 200, rng), weights(80, 200, rng))
    expected = roc_auc_score([0] * 200 + [1] * 80, [*inside, *outside])
    assert estimate.value == pytest.approx(expected)
    assert estimate.low < expected < estimate.high


def test_auroc_without_texts_is_undefined_and_alarms_are_counted() -> None:
    none = auroc(np.zeros(3), np.zeros(0), weights(3, 10, np.random.default_rng(0)), np.zeros((10, 0), np.float32))
    assert np.isnan(none.value)
    assert none.reason
    alarms = false_alarms(np.array([0.1, 0.2, 0.9, 0.8]), np.array([0.8, 0.9, 1.0]), 1.0)
    assert alarms.value == 0.5
    assert alarms.low < 0.5 < alarms.high
    assert false_alarms(np.zeros(0), np.ones(2), 0.9).reason


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_taken_back_exactly(temperature: float) -> None:
    logits = np.random.default_rng(5).normal(0, 3, (50, 3))
    assert uncalibrated(softmax(logits / temperature), temperature) == pytest.approx(softmax(logits))


def test_reliability_bins_are_scikit_learns_calibration_curve() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(6)
    confidence = rng.uniform(0.5, 1, 500)
    correct = rng.random(500) < confidence
    true, mean = calibration_curve(correct, confidence, n_bins=10)
    bins = reliability_bins(correct, confidence, 10)
    assert [item["confidence"] for item in bins] == pytest.approx(mean.tolist())
    assert [item["accuracy"]["value"] for item in bins] == pytest.approx(true.tolist())


def test_abstaining_helps_a_model_that_knows_when_it_is_unsure() -> None:
    rng = np.random.default_rng(7)
    confidence = rng.uniform(0.5, 1, 1000)
    correct = rng.random(1000) < confidence
    curve = selective_curve(correct, confidence, [0.2, 0.5, 1.0], weights(1000, 200, rng))
    values = [point["accuracy"]["value"] for point in curve]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(correct.mean())
    w = weights(1000, 200, rng)
    by_confidence, by_chance = (area_under_risk(correct, by, w) for by in (confidence, rng.random(1000)))
    assert by_confidence.low < by_confidence.value < by_confidence.high < by_chance.value
    wrong = ~correct[np.argsort(-confidence)]
    assert by_confidence.value == pytest.approx(np.mean(np.cumsum(wrong) / np.arange(1, 1001)))
    assert area_under_risk(np.ones(9, bool), np.ones(9), weights(9, 100, rng)).high == 0


def test_draws_of_many_groups_are_those_of_each() -> None:
    rng = np.random.default_rng(8)
    values, masks, w = rng.random((60, 4)), rng.random((60, 4)) < 0.5, weights(60, 50, rng)
    together = group_draws(values, masks, w)
    for column in range(4):
        assert together[:, column] == pytest.approx(rate_draws(values[:, column], masks[:, column], w), rel=1e-4)
