"""What the next labels are worth: how far the primary metric would rise with so many more, with an interval.

The probe is cross-validated on shares of the labels there are, and two laws are fitted to what it reaches: the metric
rises with the logarithm of the number of labels, as where there are many classes, or its distance to the best falls
with the root, as where there are few. The forecast is between the two, and what they differ by is part of its interval.
`benchmarks.label_forecast` counts how often that holds what comes.

Source: Figueroa et al. 2012, Predicting sample size required for classification performance,
https://doi.org/10.1186/1472-6947-12-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.measure.bootstrap import weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import DRAWS, PrimaryMetric
from ratchet.models.predictor import softmax
from ratchet.models.probe import INVERSE_REGULARIZATIONS, Indices, Vectors, fit_probe, stratified_folds

LEAST, LEAST_PER_CLASS = 40, 5
"""Labels, and labels a class, below which nothing is forecast: classes that are hardly there are learned first, and no
law that was fitted before holds then."""
SHARES = (0.35, 0.5, 0.7, 1.0)
"""Of the labels that a fold leaves to learn from."""
N_FOLDS, N_REPEATS, N_DRAWS = 5, 4, 500
LUCK = 2.0
"""Repetitions share four texts in five, so that what they differ by is less than what other texts would make."""
LEVEL = 1.96
REGULARIZATION = INVERSE_REGULARIZATIONS[2]


@dataclass(frozen=True)
class Forecast:
    """What was reached, and what more labels would bring."""

    n_labels: int
    n_more: int
    now: Estimate
    """The primary metric by cross-validation on the labels there are."""
    gain: Estimate
    """By how much it would rise with `n_more` labels beyond them."""
    by_class: dict[str, float]
    """Class → expected rise of its recall, the most first."""

    def advice(self, worth: float) -> str:
        """Whether to go on.

        Args:
            worth: the least rise that `n_more` labels are worth.
        """
        gain = f"{self.gain.value:+.3f} [{self.gain.low:+.3f}, {self.gain.high:+.3f}]"
        if self.gain.high < worth:
            return f"stop: {self.n_more} more labels bring {gain}, less than {worth:g}"
        if self.gain.low > worth:
            return f"go on: {self.n_more} more labels bring {gain}"
        return f"go on, to see: {self.n_more} more labels bring {gain}, and {worth:g} lies within"


def forecast(
    vectors: Vectors,
    targets: Indices,
    metric: PrimaryMetric,
    n_more: int = 100,
    seed: int = 0,
    n_labels: int | None = None,
) -> Forecast:
    """What `n_more` labels would bring to a probe that learns from these.

    Args:
        vectors: of the labelled texts, unit length, (n_labels, hidden).
        targets: their classes, indices of the metric's, (n_labels,).
        metric: the task's primary metric.
        n_more: labels.
        seed: of folds and resampling.
        n_labels: that there are, where these are a sample of them.

    Raises:
        TrainingError: fewer than `LEAST` labels, or of one class alone.
    """
    n, n_classes = len(targets), len(metric.classes)
    least = max(LEAST, LEAST_PER_CLASS * n_classes)
    if n < least or len(np.unique(targets)) < 2:
        raise TrainingError(
            "There are too few labels to forecast from.",
            got=f"{n} of {len(np.unique(targets))} classes",
            expected=f"{least}, of two classes",
            fix="label more, then ask again",
        )
    rng = np.random.default_rng(seed)
    w = weights(n, N_DRAWS, rng)
    sizes = np.array([share * n * (N_FOLDS - 1) / N_FOLDS for share in SHARES])
    reached, resampled, recalls, probas = [], [], [], []
    for repeat in range(N_REPEATS):
        held_out = _held_out(vectors, targets, n_classes, seed + repeat, rng)
        reached.append([metric.value(targets, proba) for proba in held_out])
        resampled.append([DRAWS[metric.name](metric, targets, proba, w) for proba in held_out])
        recalls.append([_recalls(targets, proba, n_classes) for proba in held_out])
        probas.append(held_out[-1])
    there = n_labels or n
    laws = _rises(sizes, there, n_more)
    step = laws.mean(axis=0) * (1 if metric.greater_is_better else -1)
    gains = np.array(reached) @ step  # (n_repeats,)
    of_laws = np.array(reached).mean(axis=0) @ laws.T  # (2,)
    draws = np.einsum("rsd,s->d", np.array(resampled), step) / N_REPEATS
    # which texts are drawn matters, too: what repetitions on half of the labels differ by, less with more labels
    luck = LUCK * np.array(reached)[:, 1].var(ddof=1) * sizes[1] / there * n_more / (there + n_more)
    apart = float(np.sqrt(draws.var() + gains.var(ddof=1) + luck + np.ptp(of_laws) ** 2 / 4))
    value = float(gains.mean())
    by_class = np.einsum("rsc,s->c", np.array(recalls), laws.mean(axis=0)) / N_REPEATS
    order = [index for index in np.argsort(-by_class, kind="stable") if (targets == index).any()]
    return Forecast(
        there,
        n_more,
        metric.estimate(targets, np.mean(probas, axis=0), w),
        Estimate(value, value - LEVEL * apart, value + LEVEL * apart, n),
        {metric.classes[index]: float(by_class[index]) for index in order},
    )


def _held_out(
    vectors: Vectors, targets: Indices, n_classes: int, seed: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Probabilities (n_labels, n_classes) of every text by probes that learned from each share of the other folds."""
    folds = stratified_folds(targets, N_FOLDS, seed)
    found = [np.full((len(targets), n_classes), 1 / n_classes) for _ in SHARES]
    for fold in range(N_FOLDS):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        order = rng.permutation(inside)
        for proba, share in zip(found, SHARES, strict=True):
            rows = order[: max(2, round(share * len(order)))]
            probe = fit_probe(vectors[rows], targets[rows], n_classes, REGULARIZATION)
            proba[outside] = softmax(probe.logits(vectors[outside]))
    return found


def _rises(sizes: NDArray[np.float64], n: int, n_more: int) -> NDArray[np.float64]:
    """Weights of what was reached at the sizes, whose sum of products is the rise from n to n + n_more: by the law of
    the logarithm and by that of the root, (2, n_sizes).

    Least squares of `value = a + b * law(size)`.
    """
    found = []
    for law in (np.log, lambda size: -(np.asarray(size, dtype=np.float64) ** -0.5)):
        centred = law(sizes) - law(sizes).mean()
        found.append(centred / (centred**2).sum() * (law(n + n_more) - law(n)))
    return np.array(found)


def _recalls(targets: Indices, proba: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """Share of each class's texts that are found, (n_classes,); 0 of a class without texts."""
    hits = np.bincount(targets[proba.argmax(axis=1) == targets], minlength=n_classes)
    return hits / np.maximum(np.bincount(targets, minlength=n_classes), 1)
