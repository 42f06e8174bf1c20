"""Near-duplicates: pairs of texts that share most of their three-word shingles.

MinHash signatures (Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900) in bands (locality-sensitive hashing,
Indyk & Motwani 1998) name the candidates; each is then confirmed by its exact Jaccard similarity, so a reported pair
is never wrong. A pair at the threshold is overlooked with a probability of at most `MISS_RATE`.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

N_PERMUTATIONS = 128
SHINGLE_WORDS = 3
MISS_RATE = 1e-3
_SEED = 1
_WORD = re.compile(r"\w+")
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
"""Odd 64-bit constants: the position of a word within its shingle matters."""


def words(text: str) -> list[str]:
    """The text's words: runs of letters, digits and underscores, casefolded.

    >>> words("It's GOOD — really.")
    ['it', 's', 'good', 'really']
    """
    return _WORD.findall(text.casefold())


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

    def of(self, index: int) -> frozenset[int]:
        """The distinct shingles of one text."""
        return frozenset(self._flat[int(self._offsets[index]) : int(self._offsets[index + 1])].tolist())

    def signatures(self) -> NDArray[np.uint32]:
        """MinHash signatures, (n_texts, N_PERMUTATIONS)."""
        from rensa import RMinHash

        matrix = RMinHash.digest_matrix_from_flat_token_hashes(self._flat, self._offsets, N_PERMUTATIONS, _SEED)
        return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(self), N_PERMUTATIONS)


def near_duplicate_pairs(shingles: Shingles, threshold: float) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of texts whose Jaccard similarity is at least `threshold`, sorted.

    Jaccard similarity: shared shingles ÷ all shingles of both, in [0, 1]; texts without words have no pairs.

    >>> texts = ["one of the best films of this year", "x", "one of the best films of this year !", "a bad film"]
    >>> near_duplicate_pairs(Shingles(texts), 0.8)
    [(0, 2)]
    """
    if len(shingles) < 2:
        return []
    candidates = set(_candidates(shingles.signatures(), rows_per_band(threshold)))
    needed = {index for pair in candidates for index in pair}
    sets = {index: shingles.of(index) for index in needed}
    return sorted(pair for pair in candidates if jaccard(sets[pair[0]], sets[pair[1]]) >= threshold)


def jaccard(first: frozenset[int], second: frozenset[int]) -> float:
    """Shared ÷ all elements of two sets, in [0, 1]; 0 where either is empty."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared) if shared else 0.0


def rows_per_band(threshold: float) -> int:
    """The widest bands that overlook a pair at the threshold with a probability of at most `MISS_RATE`.

    A pair of similarity s shares a band of r of n rows with probability 1 − (1 − s^r)^(n/r): wide bands give few
    false candidates. Source: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4.

    >>> rows_per_band(0.8), rows_per_band(0.5)
    (4, 2)
    """
    fitting = [rows for rows in (16, 8, 4, 2, 1) if (1 - threshold**rows) ** (N_PERMUTATIONS // rows) <= MISS_RATE]
    return max(fitting, default=1)


def _candidates(signatures: NDArray[np.uint32], rows: int) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) with an equal band."""
    for start in range(0, N_PERMUTATIONS, rows):
        band = np.zeros(len(signatures), dtype=np.uint64)
        for column in range(start, start + rows):
            band = (band ^ signatures[:, column]) * np.uint64(_MULTIPLIERS[0])
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
        for bucket in np.flatnonzero(np.diff(edges) > 1):
            members = order[edges[bucket] : edges[bucket + 1]].tolist()  # ascending, because the sort is stable
            yield from ((first, second) for at, second in enumerate(members) for first in members[:at])


def _word_hashes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """A 64-bit hash of every word of all texts, and the number of words of each text."""
    known = _WordHashes()
    flat, lengths = array("Q"), np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        found = words(text)
        lengths[row] = len(found)
        flat.extend(map(known.__getitem__, found))
    return np.frombuffer(flat, dtype=np.uint64).copy(), lengths


class _WordHashes(dict[str, int]):
    """Words hashed once each; Python's own `hash` differs from run to run."""

    def __missing__(self, word: str) -> int:
        value = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        self[word] = value
        return value
