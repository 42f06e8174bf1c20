"""Logistic regression on probabilities against scikit-learn's on a weighted row for each text and class."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.models.soft_regression import soft_regression


@pytest.mark.parametrize("soft", [False, True])
def test_it_is_scikit_learn_s_optimum_over_a_weighted_row_for_each_text_and_class(soft: bool) -> None:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    features = csr_matrix(rng.normal(size=(60, 5)) * (rng.random((60, 5)) < 0.6))
    proba = rng.dirichlet([0.4] * 3, 60) if soft else np.eye(3)[rng.integers(0, 3, 60)]
    blocks = [features[:, :2].toarray(), features[:, 2:]]
    parts, intercepts = soft_regression(blocks, proba, 2.0)
    weights = np.concatenate(parts).T
    rows, targets = np.repeat(np.arange(60), 3), np.tile(np.arange(3), 60)
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=2000)
    theirs.fit(features[rows], targets, sample_weight=proba.ravel())
    np.testing.assert_allclose(weights, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(intercepts - intercepts.mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=2e-3)


def test_nothing_is_learned_of_features_without_a_column() -> None:
    proba = np.array([[0.9, 0.1], [0.5, 0.5]])
    (nothing,), intercepts = soft_regression([np.zeros((2, 0))], proba, 1.0)
    assert nothing.shape == (0, 2)
    own = np.exp(intercepts) / np.exp(intercepts).sum()
    np.testing.assert_allclose(own, proba.mean(axis=0), atol=1e-4)
