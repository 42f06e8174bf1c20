"""The cascade's threshold: a cheap model answers the texts that it is sure of, a transformer all others.

What may be answered cheaply is decided by how often the two models disagree, not by which one is right: labels that
tell the two apart are few, and a threshold by the mean loss of a few hundred labelled texts is mostly chance.

Source: Varshney & Baral 2022, Model Cascading, https://aclanthology.org/2022.emnlp-main.756 (confidence thresholds).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import Tokens

FIRST_COST = 0.01
"""Time of a text in the static student, in times of the transformer's. A constant, so that no clock decides whether a
cascade is built; `reports/bench/ladder.json` has 0.006 to 0.011 against ONNX Runtime in integers."""

Proba = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """From which confidence the first model answers, and what that does to the texts that it was chosen on."""

    threshold: float
    """Least probability of the predicted class at which it answers; above 1: it never does."""
    answered: NDArray[np.bool_]
    """The texts that it answers, (n_texts,)."""
    disagreement: float
    """Share of all texts on which the two models predict different classes."""
    answered_disagreement: float
    """Share of the answered texts on which they do; 0 where none is answered."""
    loss_per_disagreement: float
    """What the metric loses where a text on which they disagree is answered by the first."""


def choose_threshold(
    first: Proba, second: Proba, loss: float, *, max_loss: float, min_loss_per_disagreement: float
) -> Threshold:
    """The threshold with which most texts are answered first at an expected loss of at most `max_loss`.

    The expected loss is the share of the answered texts on which the models disagree, times the greater of
    `min_loss_per_disagreement` and the loss over all texts divided by the disagreement over all texts.

    Args:
        first: probabilities of the cheap model, (n_texts, n_classes).
        second: those of the transformer.
        loss: by how much the metric is worse where the first answers every text.
        max_loss: of the metric.
        min_loss_per_disagreement: below it a loss by chance is taken for none.

    >>> sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    >>> other = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.1, 0.9]])
    >>> found = choose_threshold(sure, other, 0.1, max_loss=0.005, min_loss_per_disagreement=0.15)
    >>> round(found.threshold, 2), found.answered.tolist()
    (0.65, [True, True, True, False])
    """
    confidence, differ = first.max(axis=1), first.argmax(axis=1) != second.argmax(axis=1)
    disagreement = float(differ.mean()) if len(differ) else 0.0
    each = max(min_loss_per_disagreement, loss / disagreement if disagreement else 0.0)
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    n_answered = np.arange(1, len(order) + 1)
    expected = each * np.cumsum(differ[order]) / n_answered
    splits = np.append(ranked[1:] < ranked[:-1], True)[: len(order)]  # texts of equal confidence stay together
    allowed = np.flatnonzero((expected <= max_loss) & splits)
    last = int(allowed[-1]) if len(allowed) else -1
    if last < 0:
        threshold = np.inf
    elif last + 1 == len(order):
        threshold = 0.0
    else:  # between two confidences, as those of a text alone and in a batch differ in their last bits
        threshold = float(ranked[last] + ranked[last + 1]) / 2
    answered = confidence >= threshold
    of_answered = float(differ[answered].mean()) if answered.any() else 0.0
    return Threshold(threshold, answered, disagreement, of_answered, each)


def expected_speedup(tokens: Sequence[Tokens], answered: NDArray[np.bool_]) -> float:
    """How many times the transformer's throughput the cascade has, by the tokens that the transformer still reads.

    >>> round(expected_speedup([[1, 2], [1, 2], [1, 2], [1, 2]], np.array([True, True, True, False])), 2)
    3.85
    """
    lengths = np.array([len(ids) for ids in tokens], dtype=np.float64)
    return float(lengths.sum() / (lengths[~answered].sum() + FIRST_COST * lengths.sum()))
