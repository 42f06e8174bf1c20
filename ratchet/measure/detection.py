"""Out-of-distribution detection metrics of a score: AUROC with intervals, and false-alarm rates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, interval_estimate, proportion_estimate
from ratchet.measure.estimate import Estimate, undefined

Scores = NDArray[np.float64]


def auroc(inside: Scores, outside: Scores, w_inside: Weights, w_outside: Weights) -> Estimate:
    """Probability that a text from outside scores higher than one from inside, ties counting half; 0.5: chance.

    Args:
        inside: scores of texts of the domain, (n_inside,).
        outside: scores of texts from elsewhere, (n_outside,).
        w_inside: resampling weights, (n_draws, n_inside).
        w_outside: resampling weights, (n_draws, n_outside).

    Source: Hanley & McNeil 1982, https://doi.org/10.1148/radiology.143.1.7063747 (a Mann-Whitney statistic).
    """
    if not len(inside) or not len(outside):
        return undefined("there are no texts to tell apart")
    values, rank = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    n_values, rank_in, rank_out = len(values), rank[: len(inside)], rank[len(inside) :]

    def area(weight_in: NDArray[np.float64], weight_out: NDArray[np.float64]) -> float:
        below = np.bincount(rank_in, weight_in, n_values)
        less = np.cumsum(below) - below / 2  # ties count half
        total = weight_in.sum() * weight_out.sum()
        return float((np.bincount(rank_out, weight_out, n_values) * less).sum() / total) if total else float("nan")

    value = area(np.ones(len(inside)), np.ones(len(outside)))
    draws = [area(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(w_inside, w_outside, strict=True)]
    return interval_estimate(value, np.array(draws), len(inside) + len(outside))


def false_alarms(inside: Scores, outside: Scores, caught: float) -> Estimate:
    """Share of inside texts that score at least what `caught` of the outside ones do; in [0, 1], 0 is best.

    The interval is over the inside texts; the score that catches so many counts as known.
    """
    if not len(inside) or not len(outside):
        return undefined("there are no texts to tell apart")
    return proportion_estimate(int((inside >= np.quantile(outside, 1 - caught)).sum()), len(inside))
