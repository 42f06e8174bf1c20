"""Texts as sets of hashed three-word shingles, and their MinHash signatures.

Source: Broder 1997, On the resemblance and containment of documents, https://doi.org/10.1109/SEQUEN.1997.666900
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import words

N_PERMUTATIONS = 128
SHINGLE_WORDS = 3
_SEED = 1
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""Odd 64-bit constants: the position of a word within its shingle matters."""


class Shingles:
    """Hashed three-word shingles of many texts, in one flat array.

    A text of one or two words has one shingle for each word; a text without words has none.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        hashes, lengths = _word_hashes(texts)
        self.n_words: NDArray[np.int64] = lengths  # (n_texts,)
        long = lengths >= SHINGLE_WORDS
        ends = np.cumsum(lengths)
        flat = hashes * np.uint64(_MULTIPLIERS[0])
        keep = np.ones(len(hashes), dtype=bool)
        for offset in range(1, SHINGLE_WORDS):
            flat[:-offset] += hashes[offset:] * np.uint64(_MULTIPLIERS[offset])
            keep[ends[long] - offset] = False  # a shingle that would run into the next text
        short = np.repeat(~long, lengths)
        flat[short] = hashes[short]
        self._flat = flat[keep]
        counts = np.where(long, lengths - SHINGLE_WORDS + 1, lengths)
        self._offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)  # (n_texts + 1,)

    def __len__(self) -> int:
        return len(self.n_words)

    def of(self, index: int) -> NDArray[np.uint64]:
        """The distinct shingles of one text, sorted."""
        return np.unique(self._flat[int(self._offsets[index]) : int(self._offsets[index + 1])])

    def fingerprints(self) -> NDArray[np.uint64]:
        """A hash of each text's shingles with their numbers, (n_texts,): the same for the same words, 0 without any."""
        mixed = self._flat ^ (self._flat >> np.uint64(31))
        mixed *= np.uint64(_MULTIPLIERS[1])
        mixed ^= mixed >> np.uint64(29)
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed)])  # wraps round, which differences undo
        offsets = self._offsets.astype(np.int64)
        fingerprints: NDArray[np.uint64] = sums[offsets[1:]] - sums[offsets[:-1]]
        return fingerprints

    def signatures(self) -> NDArray[np.uint32]:
        """MinHash signatures, (n_texts, N_PERMUTATIONS)."""
        from rensa import RMinHash

        matrix = RMinHash.digest_matrix_from_flat_token_hashes(self._flat, self._offsets, N_PERMUTATIONS, _SEED)
        return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(self), N_PERMUTATIONS)


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """Shared ÷ all elements of two sorted sets, in [0, 1]; 0 where either is empty.

    >>> jaccard(np.array([1, 2, 3], dtype=np.uint64), np.array([2, 3, 4], dtype=np.uint64))
    0.5
    """
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared) if shared else 0.0


def _word_hashes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A 64-bit hash of every word of all texts, and the number of words of each text."""
    known = _WordHashes()
    flat, lengths = array("Q"), np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        found = words(text.casefold(), joiners="")
        lengths[row] = len(found)
        flat.extend(map(known.__getitem__, found))
    return np.frombuffer(flat, dtype=np.uint64).copy(), lengths


class _WordHashes(dict[str, int]):
    """Words hashed once each; Python's own `hash` differs from run to run."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        self[word] = value
        return value
