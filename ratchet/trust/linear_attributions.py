"""Models that are linear in what a text is made of, explained exactly by shap's linear explainer, without a search.

The value of a feature is its weight times how much of it the text has: shap's interventional values beside a text
without features. That of a word is its features', a run of words shared evenly by its words, which is what Shapley's
values of the words are: a run counts where all of its words are there. In log-odds, where the model is linear.

Source: Lundberg & Lee 2017, section 4.1 (Linear SHAP), https://arxiv.org/abs/1705.07874.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.models.linear_text import LinearPredictor, LinearText
from ratchet.models.predictor import Predictor, Proba
from ratchet.trust.attributions import Attribution, shapley_search
from ratchet.trust.lockstep import Question, Score, run_together
from ratchet.trust.owen_values import Mask

N_WORDS = 10
"""Words of a text whose 2^n sets are searched."""
Runs = list[list[list[int]]]
"""Of each feature, of each place where it stands: the words that it covers."""


def attribute_linear(predictor: Predictor, texts: Sequence[str]) -> list[Attribution] | None:
    """Exact SHAP values of the words of each text, in log-odds; None where the model is not linear in all of them.

    What belongs to no word, such as a token of punctuation, is part of the base.
    """
    if not isinstance(predictor, LinearPredictor):
        return None
    found: list[Attribution] = []
    for text in texts:
        if (linear := predictor.linear(text)) is None:
            return None
        spans = word_spans(text)
        values, shares = feature_values(linear), word_shares(runs_of(linear, spans), len(spans))
        base = linear.intercept + (1 - shares.sum(axis=1)) @ values
        proba = predictor.predict_proba([text])[0]
        found.append(Attribution(text, spans, shares.T @ values, base, proba, "log-odds"))
    return found


def feature_values(linear: LinearText) -> NDArray[np.float64]:
    """SHAP values of the features by `shap.LinearExplainer`, (n_features, n_classes)."""
    import shap

    n_classes, n_features = linear.coef.shape
    if not n_features:
        return np.zeros((0, n_classes))
    nothing = shap.maskers.Independent(np.zeros((1, n_features)))
    explanation = shap.LinearExplainer((linear.coef, linear.intercept), nothing)(linear.x[None])
    return np.asarray(explanation.values[0], dtype=np.float64)


def runs_of(linear: LinearText, spans: Sequence[tuple[int, int]]) -> Runs:
    """The words that each feature covers at each of its places."""
    return [
        [[index for index, (start, end) in enumerate(spans) if start < last and end > first] for first, last in places]
        for places in linear.places
    ]


def word_shares(runs: Runs, n_words: int) -> NDArray[np.float64]:
    """Share of each feature's value that goes to each word, (n_features, n_words): even over its places and words."""
    shares = np.zeros((len(runs), n_words))
    for row, places in enumerate(runs):
        for covered in places:
            shares[row, covered] += 1 / len(places) / max(len(covered), 1)
    return shares


def searched_difference(predictor: LinearPredictor, texts: Sequence[str]) -> NDArray[np.float64]:
    """Largest difference of each text's exact values from Shapley's by all sets of its words, (n_texts,), in log-odds.

    What `feature_score` answers is searched: leaving a word out takes the features that it is part of. 0: the same. A
    text is cut after its first `N_WORDS` words. NaN: the model is not linear in it.
    """
    differences = np.full(len(texts), np.nan)
    for index, text in enumerate(texts):
        spans = word_spans(text)[:N_WORDS]
        cut = text[: spans[-1][1]] if spans else text
        if (exact := attribute_linear(predictor, [cut])) and (score := feature_score(predictor, cut)):
            ((values, base),) = run_together([shapley_search(len(spans), as_question)], score)
            parts = (values - exact[0].values, base - exact[0].base)
            differences[index] = max(float(np.abs(part).max(initial=0.0)) for part in parts)
    return differences


def feature_score(predictor: LinearPredictor, text: str) -> Score | None:
    """Answers a search over the words of a text with its logits, (n_masks, n_classes), its norm or length being given.

    A feature counts by the share of its places of which every word is kept. The questions are masks, see `as_question`.
    None: the model is not linear in the text.
    """
    if (linear := predictor.linear(text)) is None:
        return None
    runs = runs_of(linear, word_spans(text))

    def score(questions: Sequence[Question]) -> Proba:
        kept = np.array([_kept(runs, np.array(mask, dtype=bool)) for mask in questions]).reshape(len(questions), -1)
        logits: Proba = (kept * linear.x) @ linear.coef.T + linear.intercept  # kept: (n_masks, n_features)
        return logits

    return score


def as_question(mask: Mask) -> Question:
    """A mask over words as a question of a search."""
    return tuple(int(kept) for kept in mask)


def _kept(runs: Runs, mask: Mask) -> list[float]:
    """How much of each feature is left when the words that are False are left out, in [0, 1]."""
    return [float(np.mean([bool(mask[covered].all()) for covered in places])) for places in runs]
