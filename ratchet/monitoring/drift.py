"""Drift test of a window of requests against the reference, with a calibrated false-alarm rate.

The reference is split at random thousands of times into a window and a rest, as if nothing had changed. Each statistic
of a real window becomes a p-value among those splits; the smallest of them is itself ranked among the smallest of the
splits, which corrects for looking at several statistics however they depend on each other.

Source: Westfall & Young 1993, Resampling-Based Multiple Testing (min-p); Rabanser, Günnemann & Lipton 2019,
https://arxiv.org/abs/1810.11953 (two-sample tests on a model's outputs and on features of its inputs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.monitoring.features import TextFeatures
from ratchet.monitoring.shift_statistics import (
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
    wasserstein,
    weights,
)

STATISTICS = {
    "length": "Kolmogorov-Smirnov on words of a text",
    "fertility": "Kolmogorov-Smirnov on word pieces per word",
    "prediction": "Wasserstein on the predicted probabilities",
    "content": "maximum mean discrepancy of character trigrams",
}
LEAST_REFERENCE = 2
"""Held-out rows that a reference needs, in windows: the rows beside a window estimate the null distribution."""
CHUNK = 250
"""Splits judged at once: 4 bytes × CHUNK × rows of memory."""


@dataclass(frozen=True)
class Sample:
    """Rows with their features; probabilities of some rows may be unknown."""

    texts: TextFeatures
    """Features of all n rows."""
    proba: NDArray[np.float64]
    """Predicted probabilities, (n, n_classes)."""
    held_out: NDArray[np.bool_]
    """Rows that no part of the model was made from, (n,): only their probabilities and fertility count, since the
    vocabulary, too, is cut to the texts that were trained on."""

    def rows(self, chosen: NDArray[np.int64]) -> Sample:
        """Some of the rows."""
        return Sample(self.texts.rows(chosen), self.proba[chosen], self.held_out[chosen])

    def __len__(self) -> int:
        return len(self.held_out)


@dataclass(frozen=True)
class Null:
    """The statistics of random splits of a reference, for one size of window."""

    n_window: int
    values: dict[str, NDArray[np.float64]]
    """Statistic → its values, (n_splits,), ascending."""
    smallest: NDArray[np.float64]
    """The smallest of the p-values of each split, (n_splits,), ascending."""


@dataclass(frozen=True)
class Verdict:
    """Drift test result of one window."""

    n: int
    """Rows that were judged."""
    values: dict[str, float]
    """Statistic → its value."""
    p_values: dict[str, float]
    """Statistic → share of splits without drift that show as much, in (0, 1]."""
    p: float
    """The same of all statistics together: under no drift it is below α in α of all windows."""


def calibrate(reference: Sample, n_window: int, n_splits: int, rng: np.random.Generator) -> Null:
    """The null distribution of windows of `n_window` rows.

    Windows are drawn from the held-out rows; texts that the model has learned from stay in the rest, where their
    probabilities and fertility do not count.

    Raises:
        TableError: the reference holds fewer than `LEAST_REFERENCE` times as many held-out rows.
    """
    places = np.flatnonzero(reference.held_out)
    if len(places) < LEAST_REFERENCE * n_window:
        raise TableError(
            "The reference is too small for this size of window.",
            where="live.yaml, monitor.window_sizes",
            got=f"{n_window} rows a window, {len(places)} held-out rows",
            expected=f"at least {LEAST_REFERENCE} times as many held-out rows",
            fix="take smaller windows, or hold out more texts",
        )
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in STATISTICS}
    for start in range(0, n_splits, CHUNK):
        window = np.zeros((min(CHUNK, n_splits - start), len(reference)), dtype=bool)
        for row in window:
            row[rng.choice(places, n_window, replace=False)] = True
        for name, found in _statistics(reference, window, ~window).items():
            parts[name].append(found)
    drawn = {name: np.concatenate(found) for name, found in parts.items()}
    values = {name: np.sort(found) for name, found in drawn.items()}
    # a split's p-value among the others: itself is one of those that show as much
    p_values = [_share_at_least(values[name], found) / n_splits for name, found in drawn.items()]
    return Null(n_window, values, np.sort(np.min(p_values, axis=0)))


def judge(reference: Sample, window: Sample, null: Null) -> Verdict:
    """The window against the reference; every row of the window counts as held-out.

    Raises:
        TableError: the window has another size than the null distribution was made for.
    """
    n, m = len(window), len(reference)
    if n != null.n_window:
        raise TableError("The window has another size than the thresholds.", got=n, expected=null.n_window)
    pooled = joined(reference, Sample(window.texts, window.proba, np.ones(n, dtype=bool)))
    inside = np.arange(m + n)[None] >= m
    values = {name: float(found[0]) for name, found in _statistics(pooled, inside, ~inside).items()}
    return _rank(values, null)


def joined(a: Sample, b: Sample) -> Sample:
    """The rows of both, those of `a` first."""
    texts = TextFeatures(
        np.concatenate([a.texts.n_words, b.texts.n_words]),
        np.concatenate([a.texts.fertility, b.texts.fertility]),
        np.concatenate([a.texts.fourier, b.texts.fourier]),
    )
    return Sample(texts, np.concatenate([a.proba, b.proba]), np.concatenate([a.held_out, b.held_out]))


def window_size(n: int, sizes: Sequence[int]) -> int | None:
    """The largest of the calibrated sizes that `n` rows fill; None where they fill none.

    >>> window_size(700, [250, 500, 1000]), window_size(100, [250])
    (500, None)
    """
    return max((size for size in sizes if size <= n), default=None)


def _rank(values: Mapping[str, float], null: Null) -> Verdict:
    n_splits = len(null.smallest)
    # the window itself is one more draw, so that no p-value is 0
    p_values = {
        name: float((1 + _share_at_least(null.values[name], np.array([value]))[0]) / (n_splits + 1))
        for name, value in values.items()
    }
    n_as_small = np.searchsorted(null.smallest, min(p_values.values()), side="right")
    return Verdict(null.n_window, dict(values), p_values, float((1 + n_as_small) / (n_splits + 1)))


def _share_at_least(ascending: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many of the ascending numbers are at least each value."""
    return (len(ascending) - np.searchsorted(ascending, values, side="left")).astype(np.float64)


def _statistics(rows: Sample, window: NDArray[np.bool_], rest: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Every statistic of every split, (n_splits,) each, scaled."""
    d, scale = weights(window, rest)
    held = rows.held_out
    d_held, scale_held = (d, scale) if held.all() else weights(window[:, held], rest[:, held])

    return {
        "length": scale * kolmogorov_smirnov(rows.texts.n_words, d),
        "fertility": scale_held * kolmogorov_smirnov(rows.texts.fertility[held], d_held),
        "prediction": scale_held * wasserstein(rows.proba[held], d_held),
        "content": scale * maximum_mean_discrepancy(rows.texts.fourier, d),
    }
