"""TF-IDF with logistic regression: the baseline every neural model has to beat, stored without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import is_plain, words
from ratchet.files import read_json, write_json

PACKAGES = ("scikit-learn", "numpy", "safetensors")
"""By which such a bundle is made and read; its manifest keeps their versions."""


BY_SCRIPT = "by script"
"""How a bundle's texts are taken apart: by `terms`; bundles that do not say by scikit-learn's own pattern."""


MIN_TEXTS = 2
"""Texts in which a run of characters has to occur to be a term."""


def terms(text: str) -> list[str]:
    """The words of a text; in scripts with spaces without single letters and digits, as scikit-learn leaves them out.

    >>> terms("a well-made bus , 很好 🔥")
    ['well', 'made', 'bus', '很', '好', '🔥']
    """
    return [word for word in words(text, "") if len(word) > 1 or not is_plain(word)]


def fit_pipeline(
    texts: list[str], targets: list[int], *, max_ngram: int, inverse_regularization: float, max_characters: int = 0
) -> Any:
    """A fitted scikit-learn pipeline over n-grams of `terms`, with sublinear term frequency.

    Args:
        texts: labelled texts.
        targets: their class indices.
        max_ngram: longest run of words that is a term.
        inverse_regularization: of the logistic regression; larger fits closer.
        max_characters: longest run of characters within a word that is a term too, from 2; 0: words alone.

    Source: Spärck Jones 1972 (inverse document frequency); Wang & Manning 2012, https://aclanthology.org/P12-2018
    for bigrams as a strong baseline.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classifier = LogisticRegression(C=inverse_regularization, max_iter=1000)
    return make_pipeline(vectorizer(max_ngram, max_characters), classifier).fit(texts, targets)


def vectorizer(max_ngram: int, max_characters: int) -> Any:
    """The vectorizer of `fit_pipeline`, not yet fitted."""
    from sklearn.pipeline import FeatureUnion

    of_words = _of_words(max_ngram)
    if not max_characters:
        return of_words
    return FeatureUnion([("words", of_words), ("characters", _of_characters(max_characters, min_df=MIN_TEXTS))])


def terms_of(pipeline: Any) -> list[str]:
    """The terms of a fitted pipeline, in the order of its weights' columns."""
    return [term for part in parts_of(pipeline) for term in part.get_feature_names_out()]


def shift_intercepts(pipeline: Any, offset: NDArray[np.float64]) -> None:
    """Take an offset (n_classes,) out of the logits of a fitted pipeline, in place."""
    classifier = pipeline.steps[-1][1]
    classifier.intercept_ = classifier.intercept_ - (offset if len(offset) > 2 else offset[1] - offset[0])


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """The vocabulary as JSON, the weights as safetensors."""
    from safetensors.numpy import save_file

    of_words, *of_characters = parts_of(pipeline)
    vocabulary = {
        "max_ngram": of_words.ngram_range[1],
        "words": BY_SCRIPT,
        "terms": of_words.get_feature_names_out().tolist(),
    }
    for part in of_characters:
        vocabulary |= {"max_characters": part.ngram_range[1], "runs": part.get_feature_names_out().tolist()}
    write_json(folder / "vocabulary.json", vocabulary)
    classifier = pipeline.steps[-1][1]
    weights = {
        "idf": np.concatenate([part.idf_ for part in parts_of(pipeline)]),
        "coef": classifier.coef_,
        "intercept": classifier.intercept_,
        "classes": classifier.classes_.astype(np.int64),
    }
    save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, folder / "weights.safetensors")


def load_pipeline(folder: Path) -> Any:
    """The pipeline that `save_pipeline` stored; it predicts the same probabilities to the last bit."""
    from safetensors.numpy import load_file
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion, make_pipeline

    vocabulary, weights = read_json(folder / "vocabulary.json"), load_file(folder / "weights.safetensors")
    known, n = _order(vocabulary["terms"]), len(vocabulary["terms"])
    of_words = _of_words(vocabulary["max_ngram"], known, vocabulary.get("words") == BY_SCRIPT)
    of_words.idf_ = weights["idf"][:n]
    first = of_words
    if "runs" in vocabulary:
        of_characters = _of_characters(vocabulary["max_characters"], vocabulary=_order(vocabulary["runs"]))
        of_characters.idf_ = weights["idf"][n:]
        first = FeatureUnion([("words", of_words), ("characters", of_characters)])
    classifier = LogisticRegression()
    classifier.classes_, classifier.coef_ = weights["classes"], weights["coef"]
    classifier.intercept_, classifier.n_features_in_ = weights["intercept"], weights["coef"].shape[1]
    return make_pipeline(first, classifier)


def _of_words(max_ngram: int, vocabulary: dict[str, int] | None = None, by_script: bool = True) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    own = {"tokenizer": terms, "token_pattern": None} if by_script else {}
    return TfidfVectorizer(
        **own, ngram_range=(1, max_ngram), sublinear_tf=True, dtype=np.float64, vocabulary=vocabulary
    )


def _of_characters(max_characters: int, min_df: int = 1, vocabulary: dict[str, int] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(2, max_characters),
        min_df=min_df,
        sublinear_tf=True,
        dtype=np.float64,
        vocabulary=vocabulary,
    )


def _order(terms: list[str]) -> dict[str, int]:
    return {term: index for index, term in enumerate(terms)}


def parts_of(pipeline: Any) -> list[Any]:
    """The vectorizers: of words and, where there is one, of characters."""
    first = pipeline.steps[0][1]
    return [part for _, part in getattr(first, "transformer_list", [("words", first)])]
