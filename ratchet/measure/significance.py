"""Paired comparison of two models' accuracies: McNemar's test and Tango's score interval.

Both tests look at the discordant texts alone: those that one model has right and the other wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.estimate import Estimate, undefined


@dataclass(frozen=True)
class Discordant:
    """Counts of discordant pairs: texts on which only one model was right."""

    n: int
    n_gained: int
    """This one right, the reference wrong."""
    n_lost: int
    """This one wrong, the reference right."""

    def to_json(self) -> dict[str, Any]:
        """The counts and the p-value as a JSON object."""
        return {"n": self.n, "n_gained": self.n_gained, "n_lost": self.n_lost, "mcnemar_p": mcnemar_p(self)}


def discordant(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Discordant:
    """The counts of two models on the same texts, both (n,)."""
    return Discordant(len(correct), int((correct & ~reference).sum()), int((~correct & reference).sum()))


def mcnemar_p(counts: Discordant) -> float:
    """Two-sided mid-p of McNemar's test, in [0, 1]: small where the accuracies differ; 1 without discordant texts.

    Under equal accuracy a discordant text is gained or lost with even chance. The mid-p counts half of the observed
    outcome's probability, which keeps the level where the exact test wastes it.
    Source: Fagerland, Lydersen & Laake 2013, https://doi.org/10.1186/1471-2288-13-91 (their example: 1 and 7
    discordant pairs).

    >>> round(mcnemar_p(Discordant(21, 1, 7)), 3)
    0.039
    """
    from scipy.stats import binom

    n, less = counts.n_gained + counts.n_lost, min(counts.n_gained, counts.n_lost)
    if counts.n_gained == counts.n_lost:
        return 1.0
    return float(2 * binom.cdf(less, n, 0.5) - binom.pmf(less, n, 0.5))


def paired_difference(counts: Discordant) -> Estimate:
    """Accuracy minus the reference's, in [-1, 1], with Tango's 95 % score interval; undefined without texts.

    Its low end is a non-inferiority bound: when it lies above −d, the model is less than d worse, with an error of
    2.5 %. "Not significantly different" says no such thing. Unlike a bootstrap, the interval keeps its level with few
    discordant texts, and has a width where there are none.
    Source: Tango 1998, https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B

    >>> paired_difference(Discordant(100, 0, 0)).low < -0.03  # 100 texts without a change still allow a loss
    True
    """
    if counts.n == 0:
        return undefined("there are no rows to measure on")
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf(0.975))
    value = (counts.n_gained - counts.n_lost) / counts.n

    def beyond(difference: float, sign: int) -> float:
        return sign * score_statistic(counts, difference) - z

    edge = 1 - 1e-9
    low = -1.0 if beyond(-edge, 1) < 0 else brentq(beyond, -edge, value, args=(1,))
    high = 1.0 if beyond(edge, -1) < 0 else brentq(beyond, value, edge, args=(-1,))
    return Estimate(value, min(float(low), value), max(float(high), value), counts.n)


def score_statistic(counts: Discordant, difference: float) -> float:
    """Tango's statistic for a true difference, standard normal under it.

    The low end of `paired_difference` lies at or above a bound where this is at least 1.96 for that bound.
    """
    n, b, c = counts.n, counts.n_gained, counts.n_lost
    middle = -b - c + (2 * n - b + c) * difference
    lost = (np.sqrt(middle**2 + 8 * n * c * difference * (1 - difference)) - middle) / (4 * n)  # P(lost), restricted
    variance = n * (2 * lost + difference * (1 - difference))
    return float((b - c - n * difference) / np.sqrt(variance)) if variance > 0 else 0.0
