"""Many searches that ask a model, run side by side: what all of them ask in one round is scored in one call.

A search is a generator: it yields texts, is sent their probabilities, and returns its result. One search alone asks for
a handful of texts at a time, too few for a batch of one length; a hundred of them fill batches.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ratchet.models.predictor import Predictor, Proba

Result = TypeVar("Result")
Search = Generator[Sequence[str], Proba, Result]
Score = Callable[[Sequence[str]], Proba]


def cached_score(predictor: Predictor) -> Score:
    """The predictor's probabilities, each different text scored once and in one call with the other new ones.

    A token predictor sorts what it is asked in one call by length, so little of a batch is padding.
    """
    known: dict[str, NDArray[np.float64]] = {}

    def score(texts: Sequence[str]) -> Proba:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, predictor.predict_proba(new), strict=True))
        return np.array([known[text] for text in texts]).reshape(len(texts), len(predictor.labels))

    return score


def run_together(searches: Iterable[Search[Result]], score: Score) -> list[Result]:
    """What the searches return, in their order; each round asks `score` once for the texts of all that still run.

    >>> def shout(text):
    ...     proba = yield [text, text + "!"]
    ...     return float(proba[1, 0] - proba[0, 0])
    >>> run_together([shout("a"), shout("bcd")], lambda texts: np.array([[len(text)] for text in texts]))
    [1.0, 1.0]
    """
    results: dict[int, Result] = {}
    waiting: list[tuple[int, Search[Result], Sequence[str]]] = []

    def advance(index: int, search: Search[Result], proba: Proba | None) -> None:
        try:
            waiting.append((index, search, next(search) if proba is None else search.send(proba)))
        except StopIteration as end:
            results[index] = end.value

    for index, search in enumerate(searches):
        advance(index, search, None)
    while waiting:
        asked, waiting = waiting, []
        proba = score([text for _, _, texts in asked for text in texts])
        at = 0
        for index, search, texts in asked:
            advance(index, search, proba[at : at + len(texts)])
            at += len(texts)
    return [results[index] for index in sorted(results)]
