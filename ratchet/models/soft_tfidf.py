"""TF-IDF taught by a teacher: `soft_regression` over terms, as a scikit-learn pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.soft_regression import soft_regression
from ratchet.models.tfidf import MIN_TEXTS, vectorizer


def fit_soft_pipeline(
    texts: list[str], proba: NDArray[np.float64], *, max_ngram: int, inverse_regularization: float
) -> Any:
    """A fitted pipeline as `fit_pipeline` makes it, of terms in at least `MIN_TEXTS` texts.

    Args:
        texts: with or without a label.
        proba: a teacher's probabilities of them, (n_texts, n_classes).
        max_ngram: longest run of words that is a term.
        inverse_regularization: larger fits closer.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    terms = vectorizer(max_ngram, 0).set_params(min_df=min(MIN_TEXTS, len(texts)))
    (table,), intercepts = soft_regression([terms.fit_transform(texts).tocsr()], proba, inverse_regularization)
    weights = np.ascontiguousarray(table.T)  # (n_classes, n_terms)
    if len(intercepts) == 2:  # scikit-learn keeps one row of two classes
        weights, intercepts = weights[1:] - weights[:1], intercepts[1:] - intercepts[:1]
    classifier = LogisticRegression()
    classifier.classes_, classifier.n_features_in_ = np.arange(proba.shape[1]), weights.shape[1]
    classifier.coef_, classifier.intercept_ = weights, intercepts
    return make_pipeline(terms, classifier)
