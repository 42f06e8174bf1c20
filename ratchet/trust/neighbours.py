"""Words that may stand for another: near in a model's own token embeddings, or its opposite in a lexicon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import letter_runs
from ratchet.models.torch_predictor import TorchPredictor


class Neighbours:
    """The nearest whole words of a vocabulary by the cosine of their embeddings, and the opposites of a lexicon."""

    def __init__(
        self, words: Sequence[str], vectors: NDArray[np.float32], lexicon: Sequence[Sequence[str]] = ()
    ) -> None:
        """Of words and their vectors, (n_words, width), and pairs of opposites."""
        self._index = {word: at for at, word in enumerate(words)}
        self._words, self._known = list(words), dict[tuple[str, int], list[str]]()
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors = vectors / np.maximum(norm, 1e-12)
        self._cased = np.array([word.islower() for word in words], dtype=bool)
        self._opposites: dict[str, list[str]] = {}
        for one, other in lexicon:
            self._opposites.setdefault(one, []).append(other)
            self._opposites.setdefault(other, []).append(one)

    def __contains__(self, word: str) -> bool:
        return word.lower() in self._index

    @property
    def words(self) -> list[str]:
        """The vocabulary."""
        return self._words

    def near(self, word: str, n: int) -> list[str]:
        """The opposites that the lexicon knows, then the `n` nearest words; none for a word outside the vocabulary.

        To a word of a script with capitals only such words are near, to another one only others.
        """
        key = word.lower()
        if (key, n) in self._known:
            return self._known[key, n]
        found = list(self._opposites.get(key, []))
        if key in self._index:
            cosine = self._vectors @ self._vectors[self._index[key]]
            cosine[self._cased != self._cased[self._index[key]]] = -np.inf
            best = np.argsort(-cosine, kind="stable")[: n + 1]
            found += [self._words[at] for at in best if self._words[at] != key and cosine[at] > -np.inf][:n]
        self._known[key, n] = list(dict.fromkeys(found))
        return self._known[key, n]

    def cosine(self, one: str, other: str) -> float:
        """How near two words are, in [-1, 1]; NaN when either is outside the vocabulary."""
        a, b = self._index.get(one.lower()), self._index.get(other.lower())
        return float("nan") if a is None or b is None else float(self._vectors[a] @ self._vectors[b])


def of_embeddings(predictor: TorchPredictor, lexicon: Sequence[Sequence[str]]) -> Neighbours:
    """The neighbourhood of whole words (letters only, no word pieces) in the predictor's token embeddings."""
    vocabulary: Mapping[str, int] = predictor.tokenizer.get_vocab()
    words = sorted(filter(_is_candidate, vocabulary))
    weight = predictor.model.get_input_embeddings().weight.detach().float().cpu().numpy()
    return Neighbours(words, weight[[vocabulary[word] for word in words]], lexicon)


def _is_candidate(word: str) -> bool:
    """Whether a token is a word in lower case, of more than one letter where its script has capitals."""
    whole = [[run[0][0], run[-1][1]] for run in letter_runs(word)] == [[0, len(word)]]
    return whole and word == word.lower() and (len(word) > 1 or not word.islower())
