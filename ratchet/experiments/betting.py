"""Anytime-valid tests by betting: the wealth won by betting against a hypothesis.

Somebody who bets on each observation, at odds that are fair if the mean is `null`, can hardly grow rich: the chance
that the wealth ever reaches 1/alpha is at most alpha, at whatever time one looks and for whatever reason one stops.
Wealth is therefore a test that survives peeking; the means against which nobody has grown rich are a confidence
sequence, which holds the true mean at all times at once with a chance of 1 − alpha. Neither needs large samples or
equal variances: only bounded observations, each of whose means, given those before, is what the hypothesis says.

The wealth here is the average of many bettors, each of whom always stakes the same part of what the worst outcome could
take. As bets are fixed, only how often each value was seen matters, not the order.

Source: Waudby-Smith & Ramdas 2024, Estimating means of bounded random variables by betting,
https://doi.org/10.1093/jrsssb/qkad009 (sections 2 to 4); Ville 1939 for the bound. Independent values in the tests:
`confseq` 0.0.11.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
N_BETTORS = 16
LEAST_STAKE, MOST_STAKE = 0.01, 0.98
"""Parts of what can be lost. Measured: a wider or finer range finds the same effects later."""
PRECISION = 1e-5


def stakes(bound: float) -> Values:
    """Stakes of the bettors on a unit of difference, (n_bettors,), for values that never lie below −bound.

    With a null of at most 1, the worst outcome takes at most `MOST_STAKE` of the wealth.
    """
    return np.geomspace(LEAST_STAKE, MOST_STAKE, N_BETTORS) / (bound + 1.0)


def log_wealth(values: Values, counts: Values, null: float, bound: float = 1.0) -> float:
    """Logarithm of the wealth won by betting that the mean is above `null`; 0 without observations.

    Args:
        values: what was observed, (n,), each at least −bound.
        counts: how often each was, (n,).
        null: the mean under the hypothesis, in [−1, 1].
        bound: at least 1.

    >>> round(log_wealth(np.array([1.0, -1.0]), np.array([30.0, 10.0]), 0.0), 3)
    3.268
    """
    return average_wealth(np.log1p(np.outer(stakes(bound), values - null)) @ counts)


def average_wealth(logs: Values) -> float:
    """Logarithm of the mean of wealths that are given as logarithms, (n_bettors,)."""
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def lower_bound(values: Values, counts: Values, alpha: float, bound: float = 1.0) -> float:
    """The highest mean that the wealth refutes, in [−1, 1]: the true one lies above it, at all times at once.

    Wealth against a mean falls as the mean rises, so the bound is found by halving; it errs downwards by at most 1e-5.
    """
    low, high = -1.0, 1.0
    if log_wealth(values, counts, low, bound) < -math.log(alpha):
        return low
    while high - low > PRECISION:
        middle = (low + high) / 2
        if log_wealth(values, counts, middle, bound) >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low


def upper_bound(values: Values, counts: Values, alpha: float, bound: float = 1.0) -> float:
    """The lowest mean that is refuted by betting that it is lower, in [−1, 1]; values are at most `bound`."""
    return -lower_bound(-values, counts, alpha, bound)
