"""End-to-end latency of single predictions, tokenising included."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor

Times = NDArray[np.float64]
TAIL = 0.025
"""Error at either end of an interval."""


def interleaved_ms(
    predictors: Mapping[str, Predictor], texts: Sequence[str], n_rounds: int, rng: np.random.Generator
) -> dict[str, Times]:
    """Milliseconds of each predictor for each text alone, (n_texts,): the median over rounds.

    Every text goes through all predictors, in a random order, before the next one comes, so that what else the
    machine does falls on all of them alike. A round over five texts warms up first and is thrown away.
    """
    names = list(predictors)
    taken = {name: np.zeros((n_rounds, len(texts))) for name in names}
    for text in texts[:5]:
        for name in names:
            predictors[name].predict_proba([text])
    for round_ in range(n_rounds):
        for index, text in enumerate(texts):
            for which in rng.permutation(len(names)):
                began = time.perf_counter()
                predictors[names[which]].predict_proba([text])
                taken[names[which]][round_, index] = (time.perf_counter() - began) * 1e3
    return {name: np.median(rounds, axis=0) for name, rounds in taken.items()}


def percentile_estimate(times: Times, percent: float) -> Estimate:
    """A percentile of the times over texts, and two of the times between which that of all texts lies 95 times in 100.

    The number of texts below the true percentile is binomial, whatever the times look like. Where the sample does not
    reach far enough (p99 takes 368 texts, p95 72) there is no interval: a resample cannot go beyond the slowest text
    that was seen.
    Source: Conover 1999, Practical nonparametric statistics, section 3.2.
    """
    value, n = float(np.percentile(times, percent)), len(times)
    ranks = _ranks(n, percent)
    if ranks is None:
        return Estimate(value, math.nan, math.nan, n, _too_few(n, percent))
    low, high = (float(np.sort(times)[rank - 1]) for rank in ranks)
    return Estimate(value, min(low, value), max(high, value), n)


def percentile_ratio(times: Times, reference: Times, percent: float, draws: NDArray[np.int64]) -> Estimate:
    """The percentile divided by that of a reference measured on the same texts; 1: equally fast, 0.5: half the time.

    With a bootstrap interval over the texts, `draws` (n_draws, n_texts), where `percentile_estimate` has one.
    """
    value = float(np.percentile(times, percent) / np.percentile(reference, percent))
    if _ranks(len(times), percent) is None:
        return Estimate(value, math.nan, math.nan, len(times), _too_few(len(times), percent))
    ratios = np.percentile(times[draws], percent, axis=1) / np.percentile(reference[draws], percent, axis=1)
    return interval_estimate(value, ratios, len(times))


def _ranks(n: int, percent: float) -> tuple[int, int] | None:
    """Places from 1 in the order of n times that enclose the percentile with 95 %; None: they lie beyond the sample.

    >>> _ranks(80, 95), _ranks(80, 99)
    ((72, 80), None)
    """
    from scipy.stats import binom

    low, high = (int(binom.ppf(level, n, percent / 100)) for level in (TAIL, 1 - TAIL))
    return (low, high + 1) if low >= 1 and high < n else None


def _too_few(n: int, percent: float) -> str:
    extreme = max(percent, 100 - percent) / 100
    needed = math.ceil(math.log(TAIL) / math.log(extreme))
    return f"{n} texts are too few for an interval of the {percent:g}th percentile, {needed} would do"


def resamples(n: int, n_draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of rows drawn with replacement, (n_draws, n)."""
    return rng.integers(0, n, size=(n_draws, n))
