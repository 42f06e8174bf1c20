"""Bootstrap confidence intervals from one set of resampling weights, shared by all figures of the same rows.

A Poisson bootstrap gives each row a weight drawn from Poisson(1) instead of drawing rows with replacement, so that
1,000 resamples of a mean are one matrix product. Figures that use the same weights are paired: their difference
keeps the covariance of the rows.

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval); Chamandy,
Muralidharan, Najmi & Naidu 2012, Estimating uncertainty for massive data streams (Poisson weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.estimate import Estimate, undefined

Weights = NDArray[np.float32]
Draws = NDArray[np.float64]
NO_ROWS = "there are no rows to measure on"


def weights(n: int, n_draws: int, rng: np.random.Generator) -> Weights:
    """Resampling weights, (n_draws, n): whole numbers, mean 1. They take 4 bytes × n_draws × n of memory."""
    return rng.poisson(1.0, size=(n_draws, n)).astype(np.float32)


def unit_weights(n: int) -> Weights:
    """The weights of the sample as it is, (1, n): a figure's draws under them hold its value alone."""
    return np.ones((1, n), dtype=np.float32)


def interval_estimate(value: float, draws: Draws, n: int) -> Estimate:
    """The value with the 2.5th and 97.5th percentile of its draws, (n_draws,), widened where needed to hold the value.

    Draws that are NaN (a resample in which the figure is undefined) are left out. The draws of a figure that is
    biased upwards in small samples (a calibration error, a gap between groups) lie above its value, and so does the
    interval: it errs on the cautious side.
    """
    if not np.isfinite(value):
        return undefined("the figure is undefined on these rows", n)
    known = draws[np.isfinite(draws)]
    if known.size == 0:
        return Estimate(value, float("nan"), float("nan"), n, "no resample defines the figure")
    low, high = np.percentile(known, [2.5, 97.5])
    return Estimate(float(value), min(float(low), float(value)), max(float(high), float(value)), n)


def mean_draws(values: NDArray[Any], w: Weights) -> Draws:
    """Weighted means of values (n,) under each draw: (n_draws,); NaN where a draw holds no row."""
    return rate_draws(values, np.ones(len(values), dtype=bool), w)


def rate_draws(values: NDArray[Any], mask: NDArray[np.bool_], w: Weights) -> Draws:
    """Weighted means of the values (n,) of the masked rows under each draw: (n_draws,); NaN where a draw has none."""
    total = (w[:, mask] @ np.asarray(values, dtype=np.float32)[mask]).astype(np.float64)  # (n_draws,)
    size = w[:, mask].sum(axis=1).astype(np.float64)
    return quotients(total, size)


def group_draws(values: NDArray[Any], masks: NDArray[np.bool_], w: Weights) -> Draws:
    """As `rate_draws` for many groups at once, by two matrix products: (n_draws, n_groups).

    Args:
        values: of each group its values, (n, n_groups); what lies outside its mask does not count.
        masks: the rows of each group, (n, n_groups).
        w: resampling weights, (n_draws, n).
    """
    inside = masks.astype(np.float32)
    total = (w @ (np.asarray(values, dtype=np.float32) * inside)).astype(np.float64)
    size = (w @ inside).astype(np.float64)
    draws: Draws = np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0)
    return draws


def cell_totals(parts: Sequence[tuple[NDArray[Any], NDArray[np.int64], int]], w: Weights) -> list[Draws]:
    """Weighted totals of values by cell, for each part (n_cells, n_draws), by one sparse product for all parts.

    Each row is in one cell of a part, so that the work does not grow with the number of cells, as it does in
    `group_draws`.

    Args:
        parts: values of the rows (n,), the cell of each row (n,) from 0, or -1 for none, and how many cells there are.
        w: resampling weights, (n_draws, n).

    >>> whole = np.ones((1, 3), np.float32)
    >>> [totals] = cell_totals([(np.array([1.0, 2.0, 4.0]), np.array([1, -1, 1]), 2)], whole)
    >>> totals.tolist()
    [[0.0], [5.0]]
    """
    from scipy.sparse import csr_array

    starts = np.cumsum([0, *(n_cells for _, _, n_cells in parts)])
    inside = [np.flatnonzero(cells >= 0) for _, cells, _ in parts]
    values = np.concatenate([np.asarray(part[0], dtype=np.float64)[at] for part, at in zip(parts, inside, strict=True)])
    cells = np.concatenate([part[1][at] + start for part, at, start in zip(parts, inside, starts, strict=False)])
    members = csr_array((values, (cells, np.concatenate(inside))), shape=(int(starts[-1]), w.shape[1]))
    return np.split(members @ w.T, starts[1:-1])


def macro_f1_draws(y_true: NDArray[Any], y_pred: NDArray[Any], n_classes: int, w: Weights) -> Draws:
    """Macro F1 of `macro_f1_estimate` under each draw: (n_draws,); NaN where a draw holds no row."""
    classes = np.arange(n_classes)
    true, pred = np.asarray(y_true)[:, None] == classes, np.asarray(y_pred)[:, None] == classes  # (n, n_classes)
    hits = (w @ (true & pred).astype(np.float32)).astype(np.float64)  # (n_draws, n_classes)
    either = (w @ (true.astype(np.float32) + pred.astype(np.float32))).astype(np.float64)
    present = either > 0
    f1 = np.divide(2 * hits, either, out=np.zeros_like(hits), where=present)
    n_present = present.sum(axis=1)
    return quotients(f1.sum(axis=1), n_present.astype(np.float64))


def mean_estimate(values: NDArray[Any], w: Weights) -> Estimate:
    """The mean of values (n,); for 0/1 values a rate. Undefined (NaN) without rows.

    >>> mean_estimate(np.array([1, 1, 0, 0]), weights(4, 100, np.random.default_rng(0))).value
    0.5
    """
    if len(values) == 0:
        return undefined(NO_ROWS)
    return interval_estimate(float(np.mean(values)), mean_draws(values, w), len(values))


def difference_estimate(a: NDArray[Any], b: NDArray[Any], w: Weights) -> Estimate:
    """mean(a) − mean(b) of two figures of the same rows, both (n,); 0: no difference. Paired: row by row."""
    return mean_estimate(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), w)


def macro_f1_estimate(y_true: NDArray[Any], y_pred: NDArray[Any], n_classes: int, w: Weights) -> Estimate:
    """Unweighted mean over classes of F1 = 2·TP ÷ (rows of the class + rows predicted as it), in [0, 1].

    Classes are numbers from 0, both (n,). A class that is neither true nor predicted anywhere is left out of the mean.
    Source: scikit-learn, `f1_score(average="macro")`.
    """
    if len(y_true) == 0:
        return undefined(NO_ROWS)
    value = macro_f1_draws(y_true, y_pred, n_classes, unit_weights(len(y_true)))[0]
    return interval_estimate(value, macro_f1_draws(y_true, y_pred, n_classes, w), len(y_true))


def macro_f1_difference(
    y_true: NDArray[Any], pred_a: NDArray[Any], pred_b: NDArray[Any], n_classes: int, w: Weights
) -> Estimate:
    """Macro F1 of predictions a minus that of b on the same rows, all (n,); in [-1, 1], 0: no difference."""
    if len(y_true) == 0:
        return undefined(NO_ROWS)
    unit = unit_weights(len(y_true))
    value = macro_f1_draws(y_true, pred_a, n_classes, unit)[0] - macro_f1_draws(y_true, pred_b, n_classes, unit)[0]
    draws = macro_f1_draws(y_true, pred_a, n_classes, w) - macro_f1_draws(y_true, pred_b, n_classes, w)
    return interval_estimate(value, draws, len(y_true))


def ece_estimate(y_true_correct: NDArray[Any], confidence: NDArray[Any], n_bins: int, w: Weights) -> Estimate:
    """Expected calibration error: mean over rows of |accuracy − mean confidence| of the row's bin, in [0, 1].

    Args:
        y_true_correct: 1 where the prediction was right, (n,).
        confidence: probability of the predicted class, (n,); bins of equal width over [0, 1].
        n_bins: number of bins.
        w: resampling weights.

    0 is perfect. It is biased upwards in small samples.
    Source: Naeini, Cooper & Hauskrecht 2015, https://doi.org/10.1609/aaai.v29i1.9602; Guo et al. 2017,
    https://arxiv.org/abs/1706.04599.
    """
    if len(confidence) == 0:
        return undefined(NO_ROWS)
    bins = np.minimum((np.asarray(confidence) * n_bins).astype(np.int64), n_bins - 1)
    gap = np.asarray(y_true_correct, dtype=np.float64) - np.asarray(confidence, dtype=np.float64)
    per_bin = np.where(bins[:, None] == np.arange(n_bins), gap[:, None], 0.0)  # (n, n_bins)
    value = float(np.abs(per_bin.sum(axis=0)).sum() / len(gap))
    size = w.sum(axis=1).astype(np.float64)
    error = np.abs(w @ per_bin.astype(np.float32)).sum(axis=1).astype(np.float64)  # (n_draws,)
    return interval_estimate(value, quotients(error, size), len(confidence))


def proportion_estimate(n_hits: int, n: int) -> Estimate:
    """A rate of independent trials with its Wilson interval, which needs no resampling; undefined when n is 0.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; the interval is scipy's.
    """
    from scipy.stats import binomtest

    if n == 0:
        return undefined(NO_ROWS)
    interval = binomtest(n_hits, n).proportion_ci(method="wilson")
    return Estimate(n_hits / n, float(interval.low), float(interval.high), n)


def quotients(above: Draws, below: Draws) -> Draws:
    """One draw's sum divided by another's, (n_draws,); NaN where the divisor is 0."""
    divided: Draws = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return divided
