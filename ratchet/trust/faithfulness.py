"""Whether attributions are true of the model: what happens when the words they name are deleted, or kept alone.

Source: DeYoung et al. 2020, ERASER, https://aclanthology.org/2020.acl-main.408, averaged over shares of the words as
its AOPC; each figure less that of random words of the same number, since any deletion changes a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.trust.attributions import Attribution, keep_words
from ratchet.trust.lockstep import Score

RATES = (0.1, 0.2, 0.3, 0.5)
"""Shares of a text's words that are deleted or kept, rounded up."""


class Curves(NamedTuple):
    """Confidence in the predicted class of the whole text, (n_texts, n_rates) each."""

    deleted: NDArray[np.float64]
    """Without the words that speak most for that class."""
    kept: NDArray[np.float64]
    """With these alone."""
    deleted_random: NDArray[np.float64]
    """Without as many random words: the mean over the draws."""
    kept_random: NDArray[np.float64]
    """With as many random words alone: the mean over the draws."""

    @property
    def comprehensiveness_gain(self) -> NDArray[np.float64]:
        """Confidence lost without the named words, less that without random ones, (n_texts,), in [-1, 1]."""
        gain: NDArray[np.float64] = (self.deleted_random - self.deleted).mean(axis=1)
        return gain

    @property
    def sufficiency_gain(self) -> NDArray[np.float64]:
        """Confidence the named words give alone, less what random ones give, (n_texts,), in [-1, 1]."""
        gain: NDArray[np.float64] = (self.kept - self.kept_random).mean(axis=1)
        return gain


def curves(
    attributions: Sequence[Attribution],
    score: Score,
    n_random: int,
    rng: np.random.Generator,
    named_by: Sequence[NDArray[np.float64]] | None = None,
) -> Curves:
    """What is left of the confidence, all texts in one call.

    Args:
        attributions: of the texts, each with the class whose confidence is followed.
        score: probabilities of texts.
        n_random: random orders of the words to compare with.
        rng: what draws them; the same seed gives the same orders, so that two methods meet the same chance.
        named_by: importance of the words for the predicted class, (n_words,) a text, by another method; None: the
            attributions' own values.
    """
    texts: list[str] = []
    predicted: list[int] = []
    for index, item in enumerate(attributions):
        n_words = len(item.spans)
        own = item.values[:, item.predicted] if named_by is None else named_by[index]
        orders = [np.argsort(-own, kind="stable"), *(rng.permutation(n_words) for _ in range(n_random))]
        for order in orders:
            for rate in RATES:
                chosen = np.zeros(n_words, dtype=bool)
                chosen[order[: int(np.ceil(rate * n_words))]] = True
                texts += [keep_words(item.text, item.spans, ~chosen), keep_words(item.text, item.spans, chosen)]
        predicted += [item.predicted] * (len(texts) - len(predicted))
    proba = score(texts)
    confidence = proba[np.arange(len(texts)), predicted].reshape(len(attributions), 1 + n_random, len(RATES), 2)
    return Curves(
        confidence[:, 0, :, 0],
        confidence[:, 0, :, 1],
        confidence[:, 1:, :, 0].mean(axis=1),
        confidence[:, 1:, :, 1].mean(axis=1),
    )


def agreement(one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Pearson correlation of two methods' values over the words of each text, (n_texts,), in [-1, 1].

    Texts of one word, or with equal values everywhere, say nothing and are left out.

    >>> agreement([np.array([1.0, 2.0, 3.0])], [np.array([2.0, 4.0, 6.0])]).round(6).tolist()
    [1.0]
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0]
    return np.array([float(np.corrcoef(a, b)[0, 1]) for a, b in pairs])
