"""Many searches that ask a model, run side by side: what all of them ask in one round is scored in one call.

A search is a generator: it yields texts, is sent their probabilities, and returns its result. One search alone asks for
a handful of texts at a time, too few for a batch of one length; a hundred of them fill batches.
A text may be given as its token ids, where these are known already.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import encode
from ratchet.models.predictor import Predictor, Proba, TokenPredictor
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.trust.masked_tokens import TokenIds

Question = str | TokenIds
"""A text, or its token ids."""
Result = TypeVar("Result")
Search = Generator[Sequence[Question], Proba, Result]
Score = Callable[[Sequence[Question]], Proba]
BATCH_TOKENS = 256
"""Tokens of a batch, padding included: more no longer fit a core's own cache, and cost up to half again a text."""


def cached_score(predictor: Predictor) -> Score:
    """The predictor's probabilities, each different text scored once and together with the other new ones.

    Of a token predictor different means: other tokens. It gets texts of similar length together, `BATCH_TOKENS` at
    a time; eager PyTorch, whose calls cost more, gets them as its own batches are.
    """
    known: dict[Question, NDArray[np.float64]] = {}

    def score(questions: Sequence[Question]) -> Proba:
        asked = _as_tokens(predictor, questions) if isinstance(predictor, TokenPredictor) else questions
        new = [question for question in dict.fromkeys(asked) if question not in known]
        known.update(zip(new, _proba(predictor, new), strict=True))
        return np.array([known[question] for question in asked]).reshape(len(asked), len(predictor.labels))

    return score


def token_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices in batches of similar length, every index once, each batch padded at most `batch_tokens` or one text.

    >>> token_batches([3, 1, 2, 9], 4)
    [[1, 2], [0], [3]]
    """
    batches: list[list[int]] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        if batches and (len(batches[-1]) + 1) * lengths[index] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _as_tokens(predictor: TokenPredictor, questions: Sequence[Question]) -> list[TokenIds]:
    texts = [question for question in questions if isinstance(question, str)]
    encoded = iter(encode(predictor.tokenizer, texts))
    return [tuple(next(encoded)) if isinstance(question, str) else question for question in questions]


def _proba(predictor: Predictor, new: Sequence[Question]) -> Proba:
    if not isinstance(predictor, TokenPredictor):
        return predictor.predict_proba([str(text) for text in new])
    tokens = [list(map(int, ids)) for ids in new]
    if isinstance(predictor, TorchPredictor):
        return predictor.predict_proba_tokens(tokens)
    proba = np.zeros((len(tokens), len(predictor.labels)))
    for batch in token_batches([len(ids) for ids in tokens], BATCH_TOKENS):
        proba[batch] = predictor.predict_proba_tokens([tokens[index] for index in batch])
    return proba


def run_together(searches: Iterable[Search[Result]], score: Score) -> list[Result]:
    """What the searches return, in their order; each round asks `score` once for the texts of all that still run.

    >>> def shout(text):
    ...     proba = yield [text, text + "!"]
    ...     return float(proba[1, 0] - proba[0, 0])
    >>> run_together([shout("a"), shout("bcd")], lambda texts: np.array([[len(text)] for text in texts]))
    [1.0, 1.0]
    """
    results: dict[int, Result] = {}
    waiting: list[tuple[int, Search[Result], Sequence[Question]]] = []

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
