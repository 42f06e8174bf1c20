"""Which words a prediction rests on: SHAP values over words, through any predictor, many texts side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import rewrite, word_spans
from ratchet.models.predictor import Predictor, Proba, TokenPredictor, softmax
from ratchet.trust.lockstep import Question, Score, cached_score, run_together
from ratchet.trust.masked_tokens import masked_tokens
from ratchet.trust.owen_values import Mask, Node, owen_search, phrase_tree, random_tree

Values = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Of the words, (n_words, n_classes), and the probabilities without any word, (n_classes,)."""


Unit = Literal["probability", "log-odds"]


@dataclass(frozen=True)
class Attribution:
    """What each word of a text adds to each class probability, or to its log-odds."""

    text: str
    spans: list[tuple[int, int]]
    """Where each word starts and ends in the text."""
    values: NDArray[np.float64]
    """SHAP values, (n_words, n_classes), in `unit`."""
    base: NDArray[np.float64]
    """Without any word, (n_classes,), in `unit`."""
    proba: NDArray[np.float64]
    """Probabilities of the text itself, scored alone, (n_classes,)."""
    unit: Unit = "probability"
    """What values and base add up to: probabilities, or centred logits, the log-odds against the mean class."""

    @property
    def words(self) -> list[str]:
        """The words as they are written."""
        return [self.text[start:end] for start, end in self.spans]

    @property
    def predicted(self) -> int:
        """The predicted class."""
        return int(self.proba.argmax())

    @property
    def additivity_error(self) -> float:
        """Largest |base + sum of values − probability| over the classes; 0: the words account for all of it.

        The values add up by construction to what was seen while explaining; the probability is asked for once more.
        An error says that the predictor does not repeat itself, so that its explanation is of another prediction.
        """
        total = self.base + self.values.sum(axis=0)
        return float(np.abs(as_proba(total, self.unit) - self.proba).max())

    @property
    def base_proba(self) -> NDArray[np.float64]:
        """Probabilities without any word, (n_classes,)."""
        return as_proba(self.base, self.unit)


def as_proba(scores: NDArray[np.float64], unit: Unit) -> NDArray[np.float64]:
    """Class scores in a unit of attributions as probabilities, both (n_classes,)."""
    return scores if unit == "probability" else softmax(scores)


def keep_words(text: str, spans: Sequence[tuple[int, int]], keep: Sequence[bool] | NDArray[np.bool_]) -> str:
    """The text without the words that are not kept; the text itself when all are.

    >>> keep_words("Not bad, really.", [(0, 3), (4, 7), (9, 15)], [False, True, True])
    'bad, really.'
    """
    if np.all(keep):
        return text
    return rewrite(text, spans, {index: "" for index, kept in enumerate(keep) if not kept})


def segments(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The text in one piece a word: each with what stands before the next, the first with what stands before it too.

    >>> segments("«Not bad», he said.", [(1, 4), (5, 8), (11, 13), (14, 18)])
    ['«Not ', 'bad», ', 'he ', 'said.']
    """
    starts = [0, *(start for start, _ in spans[1:]), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(starts)] if spans else []


def attribute(
    predictor: Predictor, score: Score, texts: Sequence[str], max_evals: int, tree_seed: int | None = None
) -> list[Attribution]:
    """SHAP values of the words of each text: the average change of the prediction when a word joins a set of others.

    Args:
        predictor: asked once more for the texts on their own.
        score: probabilities of texts, (n_texts, n_classes); see `cached_score`.
        texts: one without words ("?!") gets no values, and itself as its base.
        max_evals: masked texts to score at most for each.
        tree_seed: None: words are grouped by phrases (`phrase_tree`); else by a random tree with this seed, to see
            how much the grouping matters.

    Shapley values, exactly, where all 2^n_words sets fit in `max_evals`. Else Owen values: the sets are those along the
    tree, first where they change most; Shapley's too, where words contribute independently and the tree is opened.
    Of a predictor that is composed of others, a text's values are those of the one that answers it
    (`Predictor.branches`), which are asked instead of `score`.
    Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874; Owen values as the shap package computes them.
    """
    spans = [word_spans(text) for text in texts]
    found = search_values(predictor, score, texts, max_evals, tree_seed)
    alone = [predictor.predict_proba([text])[0] for text in texts]  # as it is served: int8 can depend on the batch
    return [Attribution(t, w, v, b, p) for t, w, (v, b), p in zip(texts, spans, found, alone, strict=True)]


def search_values(
    predictor: Predictor, score: Score, texts: Sequence[str], max_evals: int, tree_seed: int | None = None
) -> list[Values]:
    """The values of `attribute`, and the probabilities without any word, of each text."""
    found: dict[int, Values] = {}
    branches = predictor.branches(texts)
    for branch in {id(branch): branch for branch in branches}.values():
        places = [place for place, answers in enumerate(branches) if answers is branch]
        searches = [_search(branch, texts[place], max_evals, tree_seed) for place in places]
        asked = score if branch is predictor else cached_score(branch)
        found |= zip(places, run_together(searches, asked), strict=True)
    return [found[place] for place in range(len(texts))]


def shapley_search(n_words: int, text_of: Callable[[Mask], Question]) -> Generator[Sequence[Question], Proba, Values]:
    """Shapley values by their definition, from all 2^n_words sets of words.

    Source: Shapley 1953, A value for n-person games: a set of s other words has the weight s! (n − s − 1)! ÷ n!.
    """
    sets = np.array(list(itertools.product([False, True], repeat=n_words)), dtype=bool)  # (2^n, n), in binary order
    proba = yield [text_of(row) for row in sets]
    weight = [math.factorial(s) * math.factorial(n_words - s - 1) / math.factorial(n_words) for s in range(n_words)]
    values = np.zeros((n_words, proba.shape[1]))
    for word in range(n_words):
        without = np.flatnonzero(~sets[:, word])
        gain = proba[without + (1 << (n_words - 1 - word))] - proba[without]  # (2^(n-1), n_classes)
        values[word] = np.array(weight)[sets[without].sum(axis=1)] @ gain
    return values, proba[0]


def _tree(text: str, spans: Sequence[tuple[int, int]], seed: int | None) -> Node:
    return phrase_tree(text, spans) if seed is None else random_tree(len(spans), np.random.default_rng(seed))


def question_of(predictor: Predictor, text: str, spans: Sequence[tuple[int, int]]) -> Callable[[Mask], Question]:
    """What is asked for words that are kept: token ids where the predictor's tokenizer allows it, else the text."""
    tokens = masked_tokens(predictor.tokenizer, text, spans) if isinstance(predictor, TokenPredictor) else None
    return tokens or (lambda mask: keep_words(text, spans, mask))


def _search(
    predictor: Predictor, text: str, max_evals: int, tree_seed: int | None
) -> Generator[Sequence[Question], Proba, Values]:
    spans = word_spans(text)
    text_of = question_of(predictor, text, spans)
    if 2 ** len(spans) <= max_evals:
        return shapley_search(len(spans), text_of)
    return owen_search(_tree(text, spans, tree_seed), text_of, max_evals)
