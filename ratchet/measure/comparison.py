"""The metrics of one bundle, and of one bundle against another, each with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from ratchet.measure import bootstrap
from ratchet.measure.estimate import Estimate, exact
from ratchet.measure.footprint import Footprint
from ratchet.measure.latency import percentile_estimate, percentile_ratio, resamples
from ratchet.measure.primary import PrimaryMetric
from ratchet.measure.scoring import (
    Scored,
    cost_per_million,
    energy_per_thousand,
    estimated_energy_per_thousand,
    throughput,
)
from ratchet.measure.significance import discordant, mcnemar_p, paired_difference


@dataclass(frozen=True)
class Measured:
    """Raw measurements of one bundle."""

    scored: Scored
    """Probabilities of the test texts, and the time they took."""
    transfer_correct: NDArray[np.bool_]
    """Whether each text of the other domain was classified rightly, (n_transfer,)."""
    latency_ms: NDArray[np.float64]
    """Time of each text alone, (n_latency,)."""
    latency_long_ms: NDArray[np.float64]
    """Time of each long text alone, (n_long,)."""
    size_mb: float
    footprint: Footprint


@dataclass(frozen=True)
class Rates:
    """Unit prices of computing time."""

    usd_per_core_hour: float
    """Price of a core."""
    usd_per_gpu_hour: float
    """Price of a GPU, where one is used."""
    watts_per_core: float
    """Assumed power of a busy core, in watts."""


@dataclass(frozen=True)
class Draws:
    """Resamples shared by all bundles, so that differences between them are paired."""

    texts: bootstrap.Weights
    transfer: bootstrap.Weights
    latency: NDArray[np.int64]
    latency_long: NDArray[np.int64]
    chunks: NDArray[np.int64]


def draw(n_texts: int, n_transfer: int, n_latency: int, n_long: int, n_chunks: int, n_draws: int, seed: int) -> Draws:
    """Resamples of the texts, of the other domain's texts, of the latencies and of the chunks, from one seed."""
    rng = np.random.default_rng(seed)
    return Draws(
        bootstrap.weights(n_texts, n_draws, rng),
        bootstrap.weights(n_transfer, n_draws, rng),
        resamples(n_latency, n_draws, rng),
        resamples(n_long, n_draws, rng),
        resamples(n_chunks, n_draws, rng),
    )


def quality_of(
    proba: NDArray[np.float64], y_true: NDArray[np.int64], primary: PrimaryMetric, n_bins: int, w: bootstrap.Weights
) -> dict[str, Estimate]:
    """The metrics of quality by name, the primary one as `primary`; probabilities (n_texts, n_classes)."""
    y_pred = proba.argmax(axis=1)
    correct = (y_pred == y_true).astype(np.float64)
    return {
        "primary": primary.estimate(y_true, proba, w),
        "accuracy": bootstrap.mean_estimate(correct, w),
        "macro_f1": bootstrap.macro_f1_estimate(y_true, y_pred, proba.shape[1], w),
        "ece": bootstrap.ece_estimate(correct, proba.max(axis=1), n_bins, w),
    }


def metrics_of(
    item: Measured, y_true: NDArray[np.int64], primary: PrimaryMetric, n_bins: int, rates: Rates, draws: Draws
) -> dict[str, Estimate]:
    """Every metric of a bundle by name, the primary one also as `primary`; `y_true`: class indices, (n_texts,)."""
    return {
        **quality_of(item.scored.proba, y_true, primary, n_bins, draws.texts),
        "transfer_accuracy": bootstrap.mean_estimate(item.transfer_correct, draws.transfer),
        "latency_p50_ms": percentile_estimate(item.latency_ms, 50),
        "latency_p95_ms": percentile_estimate(item.latency_ms, 95),
        "latency_p99_ms": percentile_estimate(item.latency_ms, 99),
        "latency_long_p50_ms": percentile_estimate(item.latency_long_ms, 50),
        "latency_long_p95_ms": percentile_estimate(item.latency_long_ms, 95),
        "throughput_per_s": throughput(item.scored, draws.chunks),
        "cost_per_million_usd": cost_per_million(
            item.scored, rates.usd_per_core_hour, rates.usd_per_gpu_hour, draws.chunks
        ),
        "energy_per_thousand_j": energy_per_thousand(item.scored, draws.chunks),
        "energy_estimate_per_thousand_j": estimated_energy_per_thousand(
            item.scored, rates.watts_per_core, draws.chunks
        ),
        "size_mb": exact(item.size_mb),
        "peak_memory_mb": exact(item.footprint.peak_memory_mb),
        "cold_start_s": Estimate(item.footprint.cold_start_s, nan, nan, 1),
    }


def slice_metrics(
    item: Measured,
    y_true: NDArray[np.int64],
    primary: PrimaryMetric,
    masks: dict[str, NDArray[np.bool_]],
    draws: Draws,
) -> dict[str, dict[str, Estimate]]:
    """The primary metric and the accuracy in each slice; undefined where the slice has no text that defines it."""
    proba = item.scored.proba
    correct, figures = proba.argmax(axis=1) == y_true, {}
    for name, mask in masks.items():
        w = draws.texts[:, mask]
        figures[name] = {
            "primary": primary.estimate(y_true[mask], proba[mask], w),
            "accuracy": bootstrap.mean_estimate(correct[mask], w),
        }
    return figures


def majority_proba(y_true: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """What always answers the commonest of the true classes says, (n_texts, n_classes): the least a model must beat."""
    commonest = int(np.bincount(y_true, minlength=n_classes).argmax())
    return np.tile(np.eye(n_classes)[commonest], (len(y_true), 1))


def best_of(proba: Mapping[str, NDArray[np.float64]], y_true: NDArray[np.int64], primary: PrimaryMetric) -> str:
    """The bundle with the best primary metric, of equals the first by name; `proba`: (n_texts, n_classes) by bundle."""
    sign = 1 if primary.greater_is_better else -1
    return max(sorted(proba), key=lambda name: sign * primary.value(y_true, proba[name]))


def quality_against(
    proba: NDArray[np.float64],
    reference: NDArray[np.float64],
    y_true: NDArray[np.int64],
    primary: PrimaryMetric,
    w: bootstrap.Weights,
) -> dict[str, Estimate]:
    """Quality minus the reference's on the same texts, above 0 where it is better, also for a cost; 0: equal.

    The low end of the accuracy's difference is a non-inferiority bound, see `paired_difference`; `mcnemar_p` is that
    test's p-value. Both probabilities: (n_texts, n_classes).
    """
    y_pred, other = proba.argmax(axis=1), reference.argmax(axis=1)
    counts = discordant(y_pred == y_true, other == y_true)
    return {
        "primary": primary.difference(y_true, proba, reference, w),
        "accuracy": paired_difference(counts),
        "mcnemar_p": exact(mcnemar_p(counts), counts.n_gained + counts.n_lost),
        "macro_f1": bootstrap.macro_f1_difference(y_true, y_pred, other, proba.shape[1], w),
    }


def against(
    item: Measured, reference: Measured, y_true: NDArray[np.int64], primary: PrimaryMetric, rates: Rates, draws: Draws
) -> dict[str, Estimate]:
    """A bundle against a reference on the same texts.

    Quality as a difference, see `quality_against`; what it takes as a ratio (this divided by the reference; 1: equal,
    0.25: a quarter).
    """
    return {
        **quality_against(item.scored.proba, reference.scored.proba, y_true, primary, draws.texts),
        "latency_p50_ms": percentile_ratio(item.latency_ms, reference.latency_ms, 50, draws.latency),
        "latency_p95_ms": percentile_ratio(item.latency_ms, reference.latency_ms, 95, draws.latency),
        "latency_long_p95_ms": percentile_ratio(
            item.latency_long_ms, reference.latency_long_ms, 95, draws.latency_long
        ),
        "cost_per_million_usd": _cost_ratio(item.scored, reference.scored, rates, draws.chunks),
        "size_mb": exact(item.size_mb / reference.size_mb),
        "peak_memory_mb": exact(item.footprint.peak_memory_mb / reference.footprint.peak_memory_mb),
    }


def _cost_ratio(item: Scored, reference: Scored, rates: Rates, draws: NDArray[np.int64]) -> Estimate:
    """Cost of the same texts, this divided by the reference; on processors alone that is their time."""
    own, other = (scored.usd(rates.usd_per_core_hour, rates.usd_per_gpu_hour) for scored in (item, reference))
    ratios = own[draws].sum(axis=1) / other[draws].sum(axis=1)
    return bootstrap.interval_estimate(float(own.sum() / other.sum()), ratios, len(own))
