"""TF-IDF with logistic regression: the baseline every neural model has to beat, stored without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ratchet.data.words import is_plain, words
from ratchet.files import read_json, write_json

PACKAGES = ("scikit-learn", "numpy", "safetensors")
"""By which such a bundle is made and read; its manifest keeps their versions."""


BY_SCRIPT = "by script"
"""How a bundle's texts are taken apart: by `terms`; bundles that do not say by scikit-learn's own pattern."""


def terms(text: str) -> list[str]:
    """The words of a text; in scripts with spaces without single letters and digits, as scikit-learn leaves them out.

    >>> terms("a well-made bus , 很好 🔥")
    ['well', 'made', 'bus', '很', '好', '🔥']
    """
    return [word for word in words(text, "") if len(word) > 1 or not is_plain(word)]


def fit_pipeline(texts: list[str], targets: list[int], *, max_ngram: int, inverse_regularization: float) -> Any:
    """A fitted scikit-learn pipeline over n-grams of `terms`, with sublinear term frequency.

    Source: Spärck Jones 1972 (inverse document frequency); Wang & Manning 2012, https://aclanthology.org/P12-2018
    for bigrams as a strong baseline.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, max_ngram), tokenizer=terms, token_pattern=None, sublinear_tf=True, dtype=np.float64
        ),
        LogisticRegression(C=inverse_regularization, max_iter=1000),
    )
    return pipeline.fit(texts, targets)


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """The vocabulary as JSON, the weights as safetensors."""
    from safetensors.numpy import save_file

    vectorizer, classifier = (step for _, step in pipeline.steps)
    write_json(
        folder / "vocabulary.json",
        {
            "max_ngram": vectorizer.ngram_range[1],
            "words": BY_SCRIPT,
            "terms": vectorizer.get_feature_names_out().tolist(),
        },
    )
    weights = {
        "idf": vectorizer.idf_,
        "coef": classifier.coef_,
        "intercept": classifier.intercept_,
        "classes": classifier.classes_.astype(np.int64),
    }
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / "weights.safetensors")


def load_pipeline(folder: Path) -> Any:
    """The pipeline that `save_pipeline` stored; it predicts the same probabilities to the last bit."""
    from safetensors.numpy import load_file
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vocabulary, weights = read_json(folder / "vocabulary.json"), load_file(folder / "weights.safetensors")
    own = {"tokenizer": terms, "token_pattern": None} if vocabulary.get("words") == BY_SCRIPT else {}
    vectorizer = TfidfVectorizer(
        **own,
        ngram_range=(1, vocabulary["max_ngram"]),
        sublinear_tf=True,
        dtype=np.float64,
        vocabulary={term: index for index, term in enumerate(vocabulary["terms"])},
    )
    vectorizer.idf_ = weights["idf"]
    classifier = LogisticRegression()
    classifier.classes_, classifier.coef_ = weights["classes"], weights["coef"]
    classifier.intercept_, classifier.n_features_in_ = weights["intercept"], weights["coef"].shape[1]
    return make_pipeline(vectorizer, classifier)
