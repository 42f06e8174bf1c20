"""Multinomial logistic regression on probabilities: what a linear model learns from a teacher instead of from labels.

scikit-learn's takes labels alone, and a row for each class and text in their place would be `n_classes` times as many.
Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.predictor import softmax

MAX_ITERATIONS = 400
"""Of L-BFGS."""
Weights = NDArray[np.float64]


def soft_regression(
    blocks: Sequence[Any], proba: NDArray[np.float64], inverse_regularization: float
) -> tuple[list[Weights], Weights]:
    """Weights and intercepts with the least C · Σ cross-entropy + ‖weights‖² ÷ 2, a convex problem without a seed.

    Args:
        blocks: features beside each other, each (n_texts, n_features), sparse in rows or dense.
        proba: the targets, (n_texts, n_classes), rows summing to 1.
        inverse_regularization: C; intercepts are not regularized.

    Returns:
        The weights of each block, (n_features, n_classes), and the intercepts, (n_classes,).
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    n_classes, ends = proba.shape[1], np.cumsum([block.shape[1] for block in blocks])
    transposed = [block.T if isinstance(block, np.ndarray) else block.T.tocsr() for block in blocks]

    def parts(flat: Weights) -> tuple[list[Weights], Weights]:
        table = flat.reshape(-1, n_classes)
        return np.split(table[:-1], ends[:-1]), table[-1]

    def loss(flat: Weights) -> tuple[float, Weights]:
        weights, intercepts = parts(flat)
        logits = sum(block @ part for block, part in zip(blocks, weights, strict=True)) + intercepts
        highest = logits.max(axis=1)  # (n_texts,)
        normalizer = np.log(np.exp(logits - highest[:, None]).sum(axis=1)) + highest
        entropy = float((normalizer - (logits * proba).sum(axis=1)).sum())
        off = softmax(logits) - proba  # (n_texts, n_classes)
        gradient = inverse_regularization * np.concatenate(
            [*(block @ off for block in transposed), off.sum(axis=0, keepdims=True)]
        )
        gradient[:-1] += flat.reshape(-1, n_classes)[:-1]
        penalty = 0.5 * sum(float((part**2).sum()) for part in weights)
        return inverse_regularization * entropy + penalty, gradient.ravel()

    start, options = np.zeros((ends[-1] + 1) * n_classes), {"maxiter": MAX_ITERATIONS, "maxcor": 5}
    with threadpool_limits(1):  # the same sums whatever the number of cores
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return parts(found)
