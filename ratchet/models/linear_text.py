"""A text as a model that is linear in it sees it: features with weights by class, and the characters each comes from.

TF-IDF with logistic regression is linear in its terms once the text's norm is given, and the static classifier without
pairs in its tokens once their number is. Such a model needs no search to be explained.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.models.predictor import Predictor
from ratchet.models.static_model import StaticModel
from ratchet.models.tfidf import parts_of
from ratchet.models.word_tokens import WordTokens

Span = tuple[int, int]


class LinearText(NamedTuple):
    """The features that a text has; its logits are `coef @ x + intercept`."""

    x: NDArray[np.float64]
    """(n_features,)."""
    coef: NDArray[np.float64]
    """(n_classes, n_features), centred: of each feature 0 in the mean of the classes, which changes no probability."""
    intercept: NDArray[np.float64]
    """(n_classes,), centred too."""
    places: list[list[Span]]
    """Where each feature stands in the text, one or several times."""


class LinearPredictor(Predictor):
    """A loaded bundle whose logits are linear in what a text is made of, at least of some texts."""

    @abstractmethod
    def linear(self, text: str) -> LinearText | None:
        """The text as the model sees it; None where that is not linear, or cannot be found in the text again."""


def tfidf_text(pipeline: Any, text: str) -> LinearText | None:
    """A text as a pipeline of `ratchet.models.tfidf` sees it.

    None where its terms cannot be found again in the text: runs of characters, words of scikit-learn's own pattern, and
    letters that are more or fewer characters in lower case.
    """
    vectorizers = parts_of(pipeline)
    if len(vectorizers) > 1:
        return None
    (vectorizer,) = vectorizers
    words = [(text[start:end].lower(), (start, end)) for start, end in word_spans(text, "")]
    known = set(tokens := vectorizer.build_tokenizer()(vectorizer.build_preprocessor()(text)))
    words = [(word, span) for word, span in words if word in known]
    if [word for word, _ in words] != tokens:
        return None
    places: dict[str, list[Span]] = {}
    for length in range(1, vectorizer.ngram_range[1] + 1):
        for at in range(len(words) - length + 1):
            run = words[at : at + length]
            places.setdefault(" ".join(word for word, _ in run), []).append((run[0][1][0], run[-1][1][1]))
    row = vectorizer.transform([text]).tocsr()
    names, classifier = vectorizer.get_feature_names_out(), pipeline.steps[-1][1]
    coef, intercept = classifier.coef_[:, row.indices], classifier.intercept_
    if len(coef) == 1:  # scikit-learn keeps one row of two classes
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return _centred(row.data, coef, intercept, [places[names[index]] for index in row.indices])


def static_text(model: StaticModel, words: WordTokens, text: str) -> LinearText | None:
    """A text as a static classifier sees it; None where it has pairs, which are not linear in the tokens."""
    if len(model.keys):
        return None
    ids, places = words.encode_with_places(text)
    x = np.full(len(ids), 1 / max(len(ids), 1))
    return _centred(x, model.tokens[ids].T.astype(np.float64), model.bias.astype(np.float64), [[at] for at in places])


def _centred(x: Any, coef: Any, intercept: Any, places: list[list[Span]]) -> LinearText:
    return LinearText(x, coef - coef.mean(axis=0), intercept - intercept.mean(), places)
