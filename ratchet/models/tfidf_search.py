"""Which TF-IDF model suits the texts: of words, or of words and runs of characters; how strongly regularized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.probe import log_loss
from ratchet.models.tfidf import vectorizer

Indices = NDArray[np.int64]

MAX_CHARACTERS = (0, 5)
"""Longest runs of characters that are tried; 0: words alone."""
INVERSE_REGULARIZATIONS = (4.0, 32.0)
"""Candidates, from the stronger to the weaker regularization."""


@dataclass(frozen=True)
class TfidfChoice:
    """The settings with the least log loss on held-out folds."""

    max_characters: int
    inverse_regularization: float
    held_out: NDArray[np.float64]
    """Probabilities of each text under a model that did not learn from it, (n_texts, n_classes)."""


def choose_tfidf(texts: list[str], targets: Indices, n_classes: int, folds: Indices, max_ngram: int) -> TfidfChoice:
    """The choice by cross-validation.

    Args:
        texts: labelled texts.
        targets: their class indices, (n_texts,), of at least two classes.
        n_classes: classes there are, whether or not a label shows them.
        folds: the fold that each text is held out in, (n_texts,).
        max_ngram: longest run of words that is a term.
    """
    settings = [(runs, c) for runs in MAX_CHARACTERS for c in INVERSE_REGULARIZATIONS]
    held_out = {setting: np.empty((len(texts), n_classes)) for setting in settings}
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for runs in MAX_CHARACTERS:
            terms = vectorizer(max_ngram, runs)
            known = terms.fit_transform([texts[row] for row in inside])
            unknown = terms.transform([texts[row] for row in outside])
            for c in INVERSE_REGULARIZATIONS:
                held_out[runs, c][outside] = _proba(known, targets[inside], unknown, n_classes, c)
    best = min(settings, key=lambda setting: log_loss(targets, held_out[setting]))
    return TfidfChoice(*best, held_out[best])


def _proba(known: Any, targets: Indices, unknown: Any, n_classes: int, c: float) -> NDArray[np.float64]:
    """Probabilities of the unknown rows, (n, n_classes); 0 for a class without a label among the known ones."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    proba = np.zeros((unknown.shape[0], n_classes))
    present = np.unique(targets)
    if len(present) < 2:
        proba[:, present] = 1.0
        return proba
    with threadpool_limits(1):
        model = LogisticRegression(C=c, max_iter=1000).fit(known, targets)
    proba[:, present] = model.predict_proba(unknown)
    return proba
