"""Batch scoring with its throughput, processor time and cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate
from ratchet.measure.energy import joules_between, read_joules
from ratchet.measure.estimate import Estimate, undefined
from ratchet.models.predictor import Predictor, Proba


@dataclass(frozen=True)
class Scored:
    """Probabilities, (n_texts, n_classes), and the seconds and joules each chunk of texts took, (n_chunks,)."""

    proba: Proba
    chunk_sizes: NDArray[np.int64]
    wall_s: NDArray[np.float64]
    cpu_s: NDArray[np.float64]
    energy_j: NDArray[np.float64] | None = None
    """None where the machine has no energy counters."""
    on_gpu: bool = False
    """Whether the model ran on a GPU, which is then busy or reserved for all of the wall time."""

    def usd(self, usd_per_core_hour: float, usd_per_gpu_hour: float) -> NDArray[np.float64]:
        """Price of each chunk's processor time, and of the GPU's time where it ran on one, (n_chunks,)."""
        price = self.cpu_s * usd_per_core_hour + (self.wall_s * usd_per_gpu_hour if self.on_gpu else 0)
        return np.asarray(price / 3600, dtype=np.float64)


def score(predictor: Predictor, texts: Sequence[str], n_chunks: int, rng: np.random.Generator) -> Scored:
    """Score the texts in chunks chosen at random, each timed, so that rates come with an interval."""
    proba = np.zeros((len(texts), len(predictor.labels)))
    chunks = [chunk for chunk in np.array_split(rng.permutation(len(texts)), n_chunks) if len(chunk)]
    wall, cpu = np.zeros(len(chunks)), np.zeros(len(chunks))
    joules: list[float | None] = []
    predictor.predict_proba(texts[:8])
    for index, chunk in enumerate(chunks):
        energy = read_joules()
        began, used = time.perf_counter(), time.process_time()
        proba[chunk] = predictor.predict_proba([texts[row] for row in chunk])
        wall[index], cpu[index] = time.perf_counter() - began, time.process_time() - used
        joules.append(joules_between(energy, read_joules()))
    known = [value for value in joules if value is not None]
    energy_j = np.array(known) if len(known) == len(chunks) else None
    return Scored(proba, np.array([len(chunk) for chunk in chunks]), wall, cpu, energy_j, predictor.on_gpu)


def throughput(scored: Scored, draws: NDArray[np.int64]) -> Estimate:
    """Texts scored per second of wall time; `draws`: resampled chunks, (n_draws, n_chunks)."""
    rates = scored.chunk_sizes[draws].sum(axis=1) / scored.wall_s[draws].sum(axis=1)
    return interval_estimate(float(scored.chunk_sizes.sum() / scored.wall_s.sum()), rates, len(scored.wall_s))


def cost_per_million(
    scored: Scored, usd_per_core_hour: float, usd_per_gpu_hour: float, draws: NDArray[np.int64]
) -> Estimate:
    """US dollars for the time of a million predictions in batches.

    CPU-seconds a text × the hourly price of a core; on a GPU also the seconds that pass × its own: beside a model that
    runs there the processor has little to do.
    """
    usd = 1e6 * scored.usd(usd_per_core_hour, usd_per_gpu_hour)
    costs = usd[draws].sum(axis=1) / scored.chunk_sizes[draws].sum(axis=1)
    return interval_estimate(float(usd.sum() / scored.chunk_sizes.sum()), costs, len(usd))


def energy_per_thousand(scored: Scored, draws: NDArray[np.int64]) -> Estimate:
    """Joules of a thousand predictions in batches, by the processor's counters; undefined on a machine without."""
    if scored.energy_j is None:
        return undefined("this machine has no energy counters that can be read")
    joules = 1000 * scored.energy_j[draws].sum(axis=1) / scored.chunk_sizes[draws].sum(axis=1)
    value = 1000 * float(scored.energy_j.sum() / scored.chunk_sizes.sum())
    return interval_estimate(value, joules, len(scored.energy_j))


def estimated_energy_per_thousand(scored: Scored, watts_per_core: float, draws: NDArray[np.int64]) -> Estimate:
    """An estimate of the joules of a thousand predictions: CPU-seconds × what a busy core is taken to draw.

    Undefined of a model on a GPU, which draws most of it.
    """
    if scored.on_gpu:
        return undefined("it ran on a GPU, and only what cores draw is estimated")
    joules = 1000 * watts_per_core * scored.cpu_s[draws].sum(axis=1) / scored.chunk_sizes[draws].sum(axis=1)
    value = 1000 * watts_per_core * float(scored.cpu_s.sum() / scored.chunk_sizes.sum())
    return interval_estimate(value, joules, len(scored.cpu_s))
