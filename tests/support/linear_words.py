"""A predictor whose SHAP values are known exactly: every word adds its share of probability, whatever the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ratchet.data.words import words
from ratchet.models.predictor import Predictor, Proba
from tests.support.bundles import manifest

SHARES = {"superb": 0.2, "moving": 0.1, "dull": -0.25, "flat": -0.1}


class LinearWords(Predictor):
    """P(positive) = 0.5 + the sum of the shares of the words, one share for each time a word occurs."""

    def __init__(self, shares: Mapping[str, float] = SHARES, drift: float = 0.0) -> None:
        super().__init__(manifest("linear"))
        self.shares, self.drift, self.n_scored, self.n_calls = shares, drift, 0, 0

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        self.n_scored += len(texts)
        self.n_calls += 1
        found = [words(text.lower()) for text in texts]
        positive = np.array([0.5 + sum(self.shares.get(word, 0.0) for word in item) for item in found])
        positive = positive + self.drift * self.n_calls  # an engine that does not give the same figure twice
        return np.stack([1 - positive, positive], axis=1) if texts else np.zeros((0, 2))
