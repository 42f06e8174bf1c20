"""What corrected labels brought: the model of the labels as they were beside that of the labels as people left them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import PrimaryMetric
from ratchet.models.predictor import softmax
from ratchet.models.probe import fit_probe

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]
CLOSED = -1
"""In place of a class: people found that the text is of none, and it is learned from no more."""


@dataclass(frozen=True)
class Effect:
    """The primary metric of the probe on the same validation texts, before and after."""

    n_changed: int
    """Labels that people gave another class."""
    n_closed: int
    """Texts that people closed as unusable."""
    before: Estimate
    after: Estimate
    gain: Estimate
    """After minus before, paired by text; above 0 where the corrections made the model better."""

    @property
    def advice(self) -> str:
        """Whether to go on, in one sentence."""
        if not self.n_changed + self.n_closed:
            return "No label was changed: there is nothing to measure yet."
        if self.gain.low > 0:
            return "The corrections made the model better: go on while suspects are left."
        if self.gain.high < 0:
            return "The corrections made the model worse: look at the guidelines before going on."
        return "Neither gain nor loss is shown: more corrections, or more validation texts, would tell."


def effect_of_corrections(
    vectors: Vectors,
    before: Indices,
    after: Indices,
    validation: tuple[Vectors, Indices],
    metric: PrimaryMetric,
    inverse_regularization: float,
    w: Weights,
) -> Effect:
    """What the corrections brought, by a probe of the embeddings fitted twice.

    Args:
        vectors: embeddings of unit length of the training texts, (n_texts, hidden).
        before: their classes as they were, indices of the metric's, (n_texts,).
        after: as people left them; `CLOSED`: none.
        validation: embeddings of unit length and classes of the validation texts, which nobody corrected.
        metric: the primary metric.
        inverse_regularization: of the probe.
        w: resampling weights of the validation texts, (n_draws, n_validation).
    """
    rows, y_true = validation

    def proba(targets: Indices) -> NDArray[np.float64]:
        kept = targets != CLOSED
        probe = fit_probe(vectors[kept], targets[kept], len(metric.classes), inverse_regularization)
        return np.asarray(softmax(probe.logits(rows)), dtype=np.float64)

    was, now = proba(before), proba(after)
    return Effect(
        int(((before != after) & (after != CLOSED)).sum()),
        int((after == CLOSED).sum()),
        metric.estimate(y_true, was, w),
        metric.estimate(y_true, now, w),
        metric.difference(y_true, now, was, w),
    )
