"""Logit adjustment for rare classes: how far the classes' frequencies are taken out of the logits.

Metrics that weigh classes alike (macro-F1, balanced accuracy) are best under other decisions than the likeliest class.
Source: Menon et al. 2021, Long-tail learning via logit adjustment, https://arxiv.org/abs/2007.07314
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.primary import PrimaryMetric
from ratchet.models.predictor import softmax

Indices = NDArray[np.int64]

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Tried shares of the log prior; 0: the likeliest class, 1: all classes as if equally frequent."""
CLASS_WISE = ("macro_f1", "balanced_accuracy")
"""The metrics for which they are tried; the others are best served by the likeliest class."""


def prior_offset(targets: Indices, n_classes: int, strength: float) -> NDArray[np.float64]:
    """`strength` times the classes' log frequencies, (n_classes,), their mean 0; each class counts as once more seen.

    >>> prior_offset(np.array([0, 0, 0, 1]), 2, 1.0).round(2).tolist()
    [0.35, -0.35]
    """
    counts = np.bincount(targets, minlength=n_classes) + 1.0
    offset: NDArray[np.float64] = strength * (np.log(counts) - np.log(counts).mean())
    return offset


def choose_strength(metric: PrimaryMetric, targets: Indices, proba: NDArray[np.float64]) -> float:
    """The least strength that is best by the metric, on probabilities (n_texts, n_classes) of texts held out."""
    if metric.name not in CLASS_WISE:
        return 0.0
    logits, n_classes = np.log(np.maximum(proba, 1e-12)), proba.shape[1]
    values = [metric.value(targets, adjusted(logits, prior_offset(targets, n_classes, s))) for s in STRENGTHS]
    return STRENGTHS[int(np.argmax(values))]


def adjusted(logits: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the logits (n_texts, n_classes) without the prior's offset (n_classes,)."""
    return softmax(logits - offset)
