"""Sequential tests of challenger against champion: always-valid confidence intervals.

Two designs. *Paired*: both models see every text (shadow mode), so that only texts on which they disagree tell
anything. *Arms*: each unit sees one model, drawn at random with a known share. Differences are challenger minus
champion, in [−1, 1], of a rate that is better when higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.experiments.betting import lower_bound, upper_bound
from ratchet.measure.estimate import Estimate, undefined

Flags = NDArray[np.bool_]
Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Outcomes of both models on the same texts, counted by who was right."""

    n: int
    """Texts that both models saw."""
    n_gained: int
    """The challenger right, the champion wrong."""
    n_lost: int
    """The challenger wrong, the champion right."""
    n_unknown: int = 0
    """The models disagree, and there is no label."""


@dataclass(frozen=True)
class Outcomes:
    """One outcome of each unit, in the order in which units came."""

    challenger: Flags
    """Whether the challenger answered the unit, (n,)."""
    values: Rates
    """Outcome of each unit, in [0, 1], (n,); higher is better."""
    share: float
    """The chance with which a unit was given to the challenger, in (0, 1)."""

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise TableError("Both arms need a share.", got=self.share, expected="above 0 and below 1")
        if len(self.values) and not (self.values.min() >= 0.0 and self.values.max() <= 1.0):
            raise TableError(
                "Outcomes must be rates.", got=f"{self.values.min()} to {self.values.max()}", expected="0 to 1"
            )


def paired_difference(pairs: Pairs, alpha: float) -> Estimate:
    """Accuracy of the challenger minus the champion's, with an always-valid interval of level 1 − alpha.

    A disagreement that nobody has judged counts as lost for the low end and as gained for the high end, so that what
    people choose to judge cannot tilt the bounds; the value is that of the judged ones, scaled to all disagreements.
    Undefined without texts.

    >>> found = paired_difference(Pairs(400, 40, 20), 0.05)
    >>> found.value, 0 < found.low < found.value
    (0.05, False)
    >>> paired_difference(Pairs(400, 50, 15), 0.05).low > 0
    True
    """
    if pairs.n == 0:
        return undefined("no text was seen by both models")
    known = pairs.n_gained + pairs.n_lost
    scale = 1.0 + (pairs.n_unknown / known if known else 0.0)
    value = (pairs.n_gained - pairs.n_lost) * scale / pairs.n
    values = np.array([1.0, -1.0, 0.0])
    same = pairs.n - known - pairs.n_unknown
    pessimistic = np.array([pairs.n_gained, pairs.n_lost + pairs.n_unknown, same], dtype=np.float64)
    optimistic = np.array([pairs.n_gained + pairs.n_unknown, pairs.n_lost, same], dtype=np.float64)
    low = lower_bound(values, pessimistic, alpha / 2)
    high = upper_bound(values, optimistic, alpha / 2)
    return Estimate(value, min(low, value), max(high, value), pairs.n)


def arms_difference(outcomes: Outcomes, alpha: float) -> Estimate:
    """Mean outcome under the challenger minus under the champion, with an always-valid interval of level 1 − alpha.

    Holds at any sample size, also when the rate drifts during the experiment: it is then the mean of the differences.
    Undefined while an arm has nobody.
    """
    n_challenger = int(outcomes.challenger.sum())
    if n_challenger in (0, len(outcomes.values)):
        return undefined("an arm has answered nobody yet", len(outcomes.values))
    mine = outcomes.challenger
    value = float(outcomes.values[mine].mean() - outcomes.values[~mine].mean())
    scores, ones, bound = effects(outcomes), np.ones(len(mine)), effect_bound(outcomes.share)
    low = lower_bound(scores, ones, alpha / 2, bound)
    high = upper_bound(scores, ones, alpha / 2, bound)
    return Estimate(value, min(low, value), max(high, value), len(mine))


def effects(outcomes: Outcomes) -> Rates:
    """For each unit a number whose mean is the difference between the arms, (n,), within ±`effect_bound`.

    Its outcome less what was expected of any unit by those before it, weighted by the inverse chance of its arm, and
    negative for the champion's: as arms are drawn at random, the expectation cancels and only takes out variance.
    Source: the augmented inverse-probability estimator in Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024,
    Time-uniform central limit theory and asymptotic confidence sequences, https://doi.org/10.1214/24-AOS2408
    """
    n = len(outcomes.values)
    before = np.concatenate([[0.0], np.cumsum(outcomes.values)[:-1]]) if n else np.zeros(0)
    expected = (before + 0.5) / (np.arange(n) + 1.0)  # of the units before; a half for the first
    weights = np.where(outcomes.challenger, 1.0 / outcomes.share, -1.0 / (1.0 - outcomes.share))
    return (outcomes.values - expected) * weights


def effect_bound(share: float) -> float:
    """The most by which one unit can move the sum of effects, for a share of the challenger."""
    return max(1.0 / share, 1.0 / (1.0 - share))
