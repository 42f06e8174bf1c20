"""Bootstrap committee of the selection model, for its uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Indices

N_MEMBERS = 20
"""Models of a committee."""
N_STEPS = 4
"""Steps of each member from the fit towards its own optimum. They leave logits off by a few hundredths of their spread
at the default regularization (measured up to 1,500 labels); with a much weaker one members stay nearer to the fit."""
LENGTHS = np.array([0.0, 0.25, 0.5, 1.0, 2.0])
"""Step lengths of the line search; 0 keeps a member where it is, so no step makes one worse."""

Array = NDArray[np.float64]


def bootstrap_committee(
    points: Array,
    targets: Indices,
    fit: Array,
    shares: Array,
    inverse_regularization: float,
    rng: np.random.Generator,
) -> Array:
    """The members' weights, (N_MEMBERS, n_classes, hidden + 1), each refitted to labels drawn with replacement.

    All members take their steps at once: in the direction that the curvature at the fit gives, as far as lowers each
    one's own loss most. With two classes the first row of a model is 0 and stays so.

    Args:
        points: labelled texts, (n, hidden + 1); the last coordinate is 1, for the intercept.
        targets: their classes, (n,), counted from 0.
        fit: the model to start from, (n_classes, hidden + 1). An intercept is held to its own value as firmly as a
            weight is to 0, so that a draw without one of the classes has an optimum too.
        shares: weight of each text in the loss, (n,).
        inverse_regularization: variance of the normal prior of each weight.
        rng: draws the labels.

    Source: query by bagging, Abe & Mamitsuka 1998, https://dl.acm.org/doi/10.5555/645527.657478; that refits to
    reweighted data sample a posterior, Newton & Raftery 1994, https://doi.org/10.1111/j.2517-6161.1994.tb01956.x.
    """
    from scipy.linalg import cho_factor, cho_solve

    n, n_classes = len(targets), len(fit)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=N_MEMBERS) * shares  # (n_members, n)
    fixed = int(n_classes == 2)  # rows that stay 0: the weights of one of two classes say all
    truth, anchor = np.eye(n_classes)[:, targets], np.zeros_like(fit[fixed:])  # (n_classes, n), (n_free, hidden + 1)
    anchor[:, -1] = fit[fixed:, -1]
    proba = _softmax(fit @ points.T)[fixed:]  # (n_free, n)
    prior = np.eye(points.shape[1]) / inverse_regularization
    factors = [cho_factor((points.T * row) @ points + prior) for row in shares * proba * (1 - proba)]

    def logits_of(models: Array) -> Array:
        flat = models.reshape(-1, models.shape[-1]) @ points.T  # one product: (n_members * n_free, n)
        return np.pad(flat.reshape(len(models), -1, n), ((0, 0), (fixed, 0), (0, 0)))

    def loss(logits: Array, members: Array) -> Array:
        likelihood = _log_sum_exp(logits) - (truth * logits).sum(axis=1)  # (n_members, n)
        penalty = np.square(members - anchor).sum(axis=(1, 2)) / (2 * inverse_regularization)
        total: Array = (counts * likelihood).sum(axis=1) + penalty
        return total

    members = np.repeat(fit[None, fixed:], N_MEMBERS, axis=0)
    logits = logits_of(members)  # (n_members, n_classes, n)
    for _ in range(N_STEPS):
        residual = (counts[:, None, :] * (_softmax(logits) - truth))[:, fixed:]
        gradient = (residual.reshape(-1, n) @ points).reshape(members.shape)
        gradient += (members - anchor) / inverse_regularization
        solved = [cho_solve(factor, gradient[:, row].T).T for row, factor in enumerate(factors)]
        direction = -np.stack(solved, axis=1)
        along = logits_of(direction)
        tried = [loss(logits + length * along, members + length * direction) for length in LENGTHS]
        best = LENGTHS[np.argmin(tried, axis=0)][:, None, None]
        members, logits = members + best * direction, logits + best * along
    return np.pad(members, ((0, 0), (fixed, 0), (0, 0)))


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=-2, keepdims=True))
    proba: Array = raised / raised.sum(axis=-2, keepdims=True)
    return proba


def _log_sum_exp(logits: Array) -> Array:
    largest = logits.max(axis=1)
    summed: Array = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return summed
