"""What a number of texts can show: the smallest difference from a bound that an interval of that width finds."""

from __future__ import annotations

import math

from ratchet.measure.estimate import Estimate

LEVEL, POWER = 0.025, 0.8
"""Error of a one-sided test by one end of a 95 % interval, and how often a difference of that size is shown."""

ROUNDING = 1e-9
"""Width up to which an interval is that of a figure without chance, such as the agreement of a model with itself."""


def shown_difference(estimate: Estimate) -> float:
    """The true difference from a bound that texts as many and as varied as these show in 80 % of draws, at least 0.

    In the estimate's unit. NaN: it has no interval, or is exact. Its interval ends half its width from the value.
    Source: Cohen 1988, Statistical power analysis for the behavioral sciences, chapter 2: the standard error times
    the sum of the normal quantiles of 1 − level and of the power, 1.96 + 0.84.

    >>> round(shown_difference(Estimate(0.5, 0.4, 0.6, 96)), 3)
    0.143
    """
    width = estimate.high - estimate.low
    if math.isnan(width) or width <= ROUNDING:
        return math.nan
    from scipy.stats import norm

    error = width / 2 / norm.isf(LEVEL)
    return float(error * (norm.isf(LEVEL) + norm.isf(1 - POWER)))
