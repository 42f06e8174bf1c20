"""Candidate architectures on the same held-out texts, and the rules by which one of them is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import PrimaryMetric
from ratchet.models.probe import log_loss

Indices = NDArray[np.int64]
Proba = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A model that was tried."""

    name: str
    proba: Proba
    """Probabilities of the texts that candidates are compared on, (n_texts, n_classes); NaN where it learned from a
    text."""
    settings: dict[str, Any]
    """What is needed to make it on all labels."""
    n_parameters: int
    """Of its encoder, or of its linear classifier where it has none."""
    cpu_s: float
    """CPU-seconds it took, of all threads."""


@dataclass(frozen=True)
class Judge:
    """Compares candidates by the primary metric on the texts that neither learned from."""

    metric: PrimaryMetric
    targets: Indices
    """Class indices of the texts, (n_texts,)."""
    tie: float
    """Differences up to which two candidates count as equally good."""
    n_bootstrap: int
    seed: int

    def estimate(self, candidate: Candidate) -> Estimate:
        """The candidate's metric on all texts that it did not learn from."""
        rows = _known(candidate)
        return self.metric.estimate(self.targets[rows], candidate.proba[rows], self._weights(int(rows.sum())))

    def difference(self, candidate: Candidate, reference: Candidate) -> Estimate:
        """By how much the candidate is better than the reference, above 0 where it is."""
        rows = _known(candidate) & _known(reference)
        w = self._weights(int(rows.sum()))
        return self.metric.difference(self.targets[rows], candidate.proba[rows], reference.proba[rows], w)

    def log_loss(self, candidate: Candidate) -> float:
        """Mean negative log-likelihood, in nats, on all texts that the candidate did not learn from."""
        rows = _known(candidate)
        return log_loss(self.targets[rows], candidate.proba[rows])

    def best(self, candidates: Sequence[Candidate]) -> Candidate:
        """The best by the metric; of those within the tie of it the one with the least log loss."""
        top = self._top(candidates)
        close = [c for c in candidates if self.difference(top, c).value <= self.tie]
        return min(close, key=self.log_loss)

    def smallest(self, candidates: Sequence[Candidate]) -> Candidate:
        """The best by the metric; of those within the tie of it the one with the fewest parameters."""
        top = self._top(candidates)
        close = [c for c in candidates if self.difference(top, c).value <= self.tie]
        return min(close, key=lambda c: c.n_parameters)

    def _top(self, candidates: Sequence[Candidate]) -> Candidate:
        sign = 1 if self.metric.greater_is_better else -1
        return max(candidates, key=lambda c: sign * self.estimate(c).value)

    def _weights(self, n_texts: int) -> Weights:
        return weights(n_texts, self.n_bootstrap, np.random.default_rng(self.seed))


def _known(candidate: Candidate) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(candidate.proba).any(axis=1))
