"""The probe learns what vectors show, is regularized by cross-validation, and does not fail on rare classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ratchet.measure.primary import primary_metric
from ratchet.measure.prior import adjusted, choose_strength, prior_offset
from ratchet.models.predictor import softmax
from ratchet.models.probe import choose_regularization, fit_probe, log_loss, stratified_folds


def vectors(targets: NDArray[np.int64], noise: float, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors around a direction of each class."""
    rng = np.random.default_rng(seed)
    points = np.eye(8)[targets] + noise * rng.normal(size=(len(targets), 8))
    unit: NDArray[np.float32] = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_two_classes_give_the_probabilities_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    targets = np.arange(60) % 2
    points = vectors(targets, 0.4)
    found = softmax(fit_probe(points, targets, 2, 10.0).logits(points))
    expected = LogisticRegression(C=10.0, max_iter=1000).fit(points, targets).predict_proba(points)
    assert np.allclose(found, expected, atol=1e-6)


def test_noisy_labels_ask_for_more_regularization_than_clean_ones() -> None:
    targets = np.arange(240) % 3
    folds = stratified_folds(targets, 3, seed=1)
    flipped = np.where(np.random.default_rng(2).random(240) < 0.4, (targets + 1) % 3, targets)
    clean, _ = choose_regularization(vectors(targets, 0.05), targets, 3, folds)
    noisy, _ = choose_regularization(vectors(targets, 0.6), flipped, 3, folds)
    assert noisy < clean


def test_held_out_probabilities_are_of_probes_that_did_not_learn_from_the_text() -> None:
    targets = np.arange(30) % 3
    points = vectors(targets, 0.3)
    folds = stratified_folds(targets, 3, seed=1)
    c, held_out = choose_regularization(points, targets, 3, folds)
    out = folds == 2
    expected = softmax(fit_probe(points[~out], targets[~out], 3, c).logits(points[out]))
    assert np.array_equal(held_out[out], expected)


def test_a_class_without_a_label_is_possible_and_less_likely_than_any_other() -> None:
    targets = np.array([0, 0, 2, 2])
    proba = softmax(fit_probe(vectors(targets, 0.1), targets, 3, 10.0).logits(vectors(np.array([0, 2]), 0.1)))
    assert proba.argmax(axis=1).tolist() == [0, 2]
    assert (proba[:, 1] > 0).all()
    assert (proba[:, 1] < 0.1).all()
    alone = softmax(fit_probe(vectors(targets[:2], 0.1), targets[:2], 3, 10.0).logits(vectors(targets, 0.1)))
    assert alone.argmax(axis=1).tolist() == [0, 0, 0, 0]


def test_folds_spread_each_class_evenly() -> None:
    targets = np.array([0] * 90 + [1] * 9)
    folds = stratified_folds(targets, 3, seed=4)
    assert [np.bincount(folds[targets == label]).tolist() for label in (0, 1)] == [[30, 30, 30], [3, 3, 3]]


def test_log_loss_is_scikit_learns() -> None:
    from sklearn.metrics import log_loss as expected

    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(4), size=50)
    targets = rng.integers(0, 4, 50)
    assert log_loss(targets, proba) == pytest.approx(expected(targets, proba, labels=range(4)))


def test_rare_classes_are_raised_where_the_metric_weighs_classes_alike() -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(3000) < 0.05).astype(np.int64)
    score = rng.normal(size=3000) + 1.5 * targets  # two Gaussians: the true log odds are 1.5 score - 1.125 + log prior
    logits = np.column_stack([np.zeros(3000), 1.5 * score - 1.125 + np.log(0.05 / 0.95)])
    proba = softmax(logits)
    balanced = primary_metric("balanced_accuracy", ["no", "yes"])
    strength = choose_strength(balanced, targets, proba)
    assert strength >= 0.75
    raised = adjusted(np.log(proba), prior_offset(targets, 2, strength))
    assert balanced.value(targets, raised) > balanced.value(targets, proba) + 0.1
    assert choose_strength(primary_metric("accuracy", ["no", "yes"]), targets, proba) == 0
