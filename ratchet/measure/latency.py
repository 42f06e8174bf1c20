"""End-to-end latency of single predictions, tokenising included."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor

Times = NDArray[np.float64]


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


def percentile_estimate(times: Times, percent: float, draws: NDArray[np.int64]) -> Estimate:
    """A percentile of the times over texts, with a bootstrap interval over the texts; `draws`: (n_draws, n_texts)."""
    return interval_estimate(
        float(np.percentile(times, percent)), np.percentile(times[draws], percent, axis=1), len(times)
    )


def percentile_ratio(times: Times, reference: Times, percent: float, draws: NDArray[np.int64]) -> Estimate:
    """The percentile divided by that of a reference measured on the same texts; 1: equally fast, 0.5: half the time."""
    value = float(np.percentile(times, percent) / np.percentile(reference, percent))
    ratios = np.percentile(times[draws], percent, axis=1) / np.percentile(reference[draws], percent, axis=1)
    return interval_estimate(value, ratios, len(times))


def resamples(n: int, n_draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of rows drawn with replacement, (n_draws, n)."""
    return rng.integers(0, n, size=(n_draws, n))
