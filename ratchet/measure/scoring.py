"""Scoring many texts, and what that costs: throughput, processor time, money."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor, Proba


@dataclass(frozen=True)
class Scored:
    """Probabilities, (n_texts, n_classes), and the seconds each chunk of texts took, (n_chunks,)."""

    proba: Proba
    chunk_sizes: NDArray[np.int64]
    wall_s: NDArray[np.float64]
    cpu_s: NDArray[np.float64]


def score(predictor: Predictor, texts: Sequence[str], n_chunks: int, rng: np.random.Generator) -> Scored:
    """Score the texts in chunks chosen at random, each timed, so that rates come with an interval."""
    proba = np.zeros((len(texts), len(predictor.labels)))
    chunks = [chunk for chunk in np.array_split(rng.permutation(len(texts)), n_chunks) if len(chunk)]
    wall, cpu = np.zeros(len(chunks)), np.zeros(len(chunks))
    predictor.predict_proba(texts[:8])
    for index, chunk in enumerate(chunks):
        began, used = time.perf_counter(), time.process_time()
        proba[chunk] = predictor.predict_proba([texts[row] for row in chunk])
        wall[index], cpu[index] = time.perf_counter() - began, time.process_time() - used
    return Scored(proba, np.array([len(chunk) for chunk in chunks]), wall, cpu)


def throughput(scored: Scored, draws: NDArray[np.int64]) -> Estimate:
    """Texts scored per second of wall time; `draws`: resampled chunks, (n_draws, n_chunks)."""
    rates = scored.chunk_sizes[draws].sum(axis=1) / scored.wall_s[draws].sum(axis=1)
    return interval_estimate(float(scored.chunk_sizes.sum() / scored.wall_s.sum()), rates, len(scored.wall_s))


def cost_per_million(scored: Scored, usd_per_core_hour: float, draws: NDArray[np.int64]) -> Estimate:
    """US dollars for the processor time of a million predictions in batches: CPU-seconds a text × the hourly price."""
    factor = 1e6 * usd_per_core_hour / 3600
    costs = factor * scored.cpu_s[draws].sum(axis=1) / scored.chunk_sizes[draws].sum(axis=1)
    value = factor * float(scored.cpu_s.sum() / scored.chunk_sizes.sum())
    return interval_estimate(value, costs, len(scored.cpu_s))
