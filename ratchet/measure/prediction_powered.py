"""Prediction-powered inference: valid intervals of a mean from few labels and many predictions.

Source: Angelopoulos et al. 2023, https://arxiv.org/abs/2301.09633; the tuning of the predictions' weight is that of
PPI++, Angelopoulos, Duchi & Zrnic 2023, https://arxiv.org/abs/2311.01453.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.estimate import Estimate, undefined

MIN_LABELS = 30
"""Fewest labels from which an interval is given: below, its coverage is not what it says (`make bench-ppi`)."""
ALPHA = 0.05
N_ADDED = 4
"""Made-up labels that widen the interval of a rate near 0 or 1."""


@dataclass(frozen=True)
class Predicted:
    """Moments of a prediction over the texts that nobody labelled."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Predicted:
        """The moments of these predictions, (n,); of none NaN."""
        if not len(values):
            return cls(0, math.nan, math.nan)
        return cls(len(values), float(values.mean()), float(values.var()))

    def plus(self, other: Predicted) -> Predicted:
        """The moments of both together.

        >>> Predicted.of(np.array([0.0, 1.0])).plus(Predicted.of(np.array([1.0, 1.0])))
        Predicted(n=4, mean=0.75, variance=0.1875)
        """
        if not self.n or not other.n:
            return self if self.n else other
        n = self.n + other.n
        mean = (self.n * self.mean + other.n * other.mean) / n
        squares = self.n * (self.variance + self.mean**2) + other.n * (other.variance + other.mean**2)
        return Predicted(n, mean, max(0.0, squares / n - mean**2))


@dataclass(frozen=True)
class PoweredMean:
    """A mean with its interval, and what a planner needs to say how many more labels would settle it."""

    estimate: Estimate
    tuning: float
    """Weight of the predictions, in [0, 1]; 0: they do not help, and the interval is that of the labels alone."""
    labelled_variance: float
    """Variance that one label contributes; divided by their number it is the labels' part."""
    predicted_variance: float
    """The part of the predictions, which no label shrinks."""


def powered_mean(
    y: NDArray[np.float64],
    predictions: NDArray[np.float64],
    unlabelled: Predicted,
    weights: NDArray[np.float64] | None = None,
    alpha: float = ALPHA,
) -> PoweredMean:
    """Mean of `y` over all texts, from the labelled ones and the predictions of the others.

    The labelled texts must be a random sample of all. NaN with the reason where there are fewer than `MIN_LABELS`.

    Args:
        y: what is averaged, of the labelled texts, in [0, 1], (n,): right or not, of a class or not.
        predictions: what the model makes of it for the same texts, in [0, 1], (n,).
        unlabelled: the same over the other texts; without any, the interval is that of the labels alone.
        weights: of the labelled texts where parts of the traffic were sampled more densely than others, (n,).
        alpha: share of intervals that do not hold the mean.
    """
    from scipy.stats import t

    n = len(y)
    if n < MIN_LABELS:
        return PoweredMean(undefined(f"{n} labels of {MIN_LABELS} needed", n), 0.0, math.nan, math.nan)
    w = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    n_effective = 1 / float((w**2).sum())
    tuning = _tuning(y, predictions, w, unlabelled, n_effective)
    shift = tuning * unlabelled.mean if tuning else 0.0
    value = float(w @ (y - tuning * predictions)) + shift
    # two successes and two failures more, as Agresti & Coull 1998 do: without them few errors give intervals that are
    # too short (https://doi.org/10.1080/00031305.1998.10480550)
    share = N_ADDED / (n_effective + N_ADDED)
    w = np.append((1 - share) * w, np.full(N_ADDED, share / N_ADDED))
    y = np.append(y, np.arange(N_ADDED) % 2)
    residual = y - tuning * np.append(predictions, np.full(N_ADDED, predictions.mean()))
    n_added = n_effective + N_ADDED
    labelled = _variance(residual, w) * n_added / (n_added - 2)  # two were fitted: the mean and the weight
    predicted = tuning**2 * unlabelled.variance / unlabelled.n if tuning else 0.0
    half = float(t.ppf(1 - alpha / 2, n_added - 2)) * math.sqrt(labelled / n_added + predicted)
    centre = float(w @ residual) + shift
    low, high = (min(max(end, 0.0), 1.0) for end in (centre - half, centre + half))
    value = min(max(value, low), high)
    return PoweredMean(Estimate(value, low, high, n), tuning, labelled, predicted)


def labels_needed(mean: PoweredMean, half_width: float, alpha: float = ALPHA) -> int | None:
    """Labels in all with which the interval is that narrow; None where the predictions alone are wider.

    Args:
        mean: what the labels so far say.
        half_width: half of the interval's width, above 0.
        alpha: as of the interval.
    """
    from scipy.stats import norm

    allowed = (half_width / float(norm.ppf(1 - alpha / 2))) ** 2 - mean.predicted_variance
    if math.isnan(mean.labelled_variance) or allowed <= 0:
        return None
    return max(MIN_LABELS, math.ceil(mean.labelled_variance / allowed))


def _tuning(
    y: NDArray[np.float64],
    predictions: NDArray[np.float64],
    w: NDArray[np.float64],
    unlabelled: Predicted,
    n_effective: float,
) -> float:
    """The weight that makes the interval shortest, in [0, 1]."""
    spread = _variance(predictions, w)
    if not unlabelled.n or spread < 1e-9:
        return 0.0
    shared = float(w @ ((y - w @ y) * (predictions - w @ predictions)))
    return min(max(shared / ((1 + n_effective / unlabelled.n) * spread), 0.0), 1.0)


def _variance(values: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    return float(w @ (values - w @ values) ** 2)
