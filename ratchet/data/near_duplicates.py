"""Near-duplicates: pairs of texts that share most of their three-word shingles, however many texts there are.

MinHash signatures in bands (locality-sensitive hashing, Indyk & Motwani 1998, https://doi.org/10.1145/276698.276876)
name the candidates; each is then confirmed by its exact Jaccard similarity, so a reported pair is never wrong. A pair
at the threshold is overlooked with a probability of at most `MISS_RATE`.

Memory stays bounded: texts come in batches, the keys of the bands wait in a temporary file, texts with the same
shingles are one to the search, so that no bucket grows with the number of copies, and only candidates are read again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ratchet.data.shingles import N_PERMUTATIONS, Shingles, jaccard
from ratchet.errors import ValidationError

MISS_RATE = 1e-3
MAX_CANDIDATES = 50_000_000
"""Candidate pairs that fit into memory; a corpus of one form letter filled in a hundred thousand times has more."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class NearDuplicates:
    """Which texts are near-duplicates: those with the same shingles, and pairs of such groups."""

    first: NDArray[np.int64]
    """(n_texts,): the position of the earliest text with the same shingles; its own where there is none."""
    pairs: NDArray[np.int64]
    """(n_pairs, 2): positions of such earliest texts, the earlier one first, sorted."""
    worded: NDArray[np.bool_]
    """(n_texts,): whether a text has words; those without are near-duplicates of nothing."""

    def n_pairs(self, weights: NDArray[np.int64] | None = None) -> int:
        """Pairs of near-duplicates among all texts, where text i stands for `weights[i]` equal ones, 1 by default."""
        n = len(self.first)
        weights = np.ones(n, dtype=np.int64) if weights is None else np.where(self.worded, weights, 0)
        sizes = np.bincount(self.first, weights=np.where(self.worded, weights, 0), minlength=n).astype(np.int64)
        return int((sizes * (sizes - 1) // 2).sum() + sizes[self.pairs].prod(axis=1).sum())

    def all_pairs(self) -> list[tuple[int, int]]:
        """Every pair (earlier, later), sorted; as many as `n_pairs` says, so for small corpora only."""
        members: dict[int, list[int]] = {}
        for text, first in enumerate(self.first.tolist()):
            members.setdefault(first, []).append(text)
        inside = [pair for texts in members.values() for pair in combinations(texts, 2)]
        across = [(min(pair), max(pair)) for a, b in self.pairs.tolist() for pair in product(members[a], members[b])]
        return sorted([*inside, *across])

    def n_earlier(self) -> NDArray[np.int64]:
        """1 for a text that has a near-duplicate before it, else 0, (n_texts,)."""
        n = len(self.first)
        earliest = np.arange(n)
        np.minimum.at(earliest, self.pairs[:, 1], self.pairs[:, 0])
        own = np.full(n, n)  # a copy of the earlier text of a pair may come after the later one
        np.minimum.at(own, self.pairs[:, 0], self.pairs[:, 1])
        reached = np.minimum(earliest, own)[self.first]
        positions = np.arange(n)
        found: NDArray[np.int64] = ((self.first < positions) | (reached < positions)).astype(np.int64)
        return found

    def placed(self, positions: NDArray[np.int64]) -> NearDuplicates:
        """The same of the texts in another order: text i stands at `positions[i]`."""
        n = len(self.first)
        earliest = np.full(n, n)
        np.minimum.at(earliest, self.first, positions)  # old first → new first
        first, worded = np.empty(n, dtype=np.int64), np.empty(n, dtype=bool)
        first[positions] = earliest[self.first]
        worded[positions] = self.worded
        return NearDuplicates(first, _sorted_pairs(earliest[self.pairs]), worded)


class NearDuplicateSearch:
    """Finds near-duplicates in two passes over the texts: `add` each batch, then `finish` with the same ones again."""

    def __init__(self, threshold: float, folder: Path | None = None) -> None:
        """Args:
        threshold: Jaccard similarity from which two texts count as near-duplicates.
        folder: where the temporary file lies, 8 bytes a band and text; by default where the system keeps such.
        """
        self.threshold = threshold
        self._rows = rows_per_band(threshold)
        self._n_bands = N_PERMUTATIONS // self._rows
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by __exit__
        self._sizes: list[int] = []
        self._fingerprints: list[NDArray[np.uint64]] = []
        self._worded: list[NDArray[np.bool_]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, shingles: Shingles) -> None:
        """The next texts."""
        if not len(shingles):
            return
        signatures = shingles.signatures()
        keys = np.zeros((self._n_bands, len(shingles)), dtype=np.uint64)
        for column in range(self._rows):
            keys ^= signatures[:, column :: self._rows].T
            keys *= _MULTIPLIER
        self._file.seek(0, 2)
        self._file.write(keys.tobytes())
        self._sizes.append(len(shingles))
        self._fingerprints.append(shingles.fingerprints())
        self._worded.append(shingles.n_words > 0)

    def finish(self, again: Iterable[Sequence[str]]) -> NearDuplicates:
        """What was found.

        Args:
            again: the texts that were added, in the same order; their batches may be cut elsewhere.

        Raises:
            ValidationError: there are more than `MAX_CANDIDATES` pairs to compare.
        """
        return self._confirmed(lambda needed: _shingles_of(needed, again))

    def _confirmed(self, shingles_of: Callable[[NDArray[np.int64]], dict[int, NDArray[np.uint64]]]) -> NearDuplicates:
        if not self._sizes:
            return NearDuplicates(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros(0, bool))
        worded = np.concatenate(self._worded)
        first = _first_of_equals(np.concatenate(self._fingerprints), worded)
        leaders = np.flatnonzero((first == np.arange(len(first))) & worded)
        candidates = self._candidates(leaders)
        sets = shingles_of(np.unique(candidates))
        similar = [jaccard(sets[a], sets[b]) >= self.threshold for a, b in candidates.tolist()]
        return NearDuplicates(first, _sorted_pairs(candidates[np.array(similar, dtype=bool)]), worded)

    def _candidates(self, leaders: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs (earlier, later) of leaders with an equal band, each once, (n_candidates, 2)."""
        packed = np.zeros(0, dtype=np.int64)
        for band in range(self._n_bands):
            keys = self._keys(band)[leaders]
            order = np.argsort(keys, kind="stable")
            ordered, texts, n = keys[order], leaders[order], len(order)
            starts, step = np.arange(n), 1
            found: list[NDArray[np.int64]] = [packed]
            n_found = len(packed)
            while len(starts := starts[starts + step < n]):
                starts = starts[ordered[starts + step] == ordered[starts]]
                found.append(texts[starts] << 32 | texts[starts + step])  # ascending, because the sort is stable
                n_found += len(starts)
                step += 1
                if n_found > MAX_CANDIDATES:
                    raise ValidationError(
                        "Too many texts are alike to compare them pair by pair.",
                        got=f"over {n_found:,} pairs",
                        expected=f"at most {MAX_CANDIDATES:,}",
                        fix="the corpus seems to be made from a template: keep "
                        "fewer of its copies, or raise near_duplicate_threshold in params.yaml",
                    )
            packed = np.unique(np.concatenate(found))
        return np.stack([packed >> 32, packed & 0xFFFFFFFF], axis=1)

    def _keys(self, band: int) -> NDArray[np.uint64]:
        """The keys of one band of all texts, (n_texts,)."""
        parts, at = [], 0
        for size in self._sizes:
            self._file.seek(8 * (at + band * size))
            parts.append(np.frombuffer(self._file.read(8 * size), dtype=np.uint64))
            at += self._n_bands * size
        return np.concatenate(parts)


def near_duplicate_pairs(shingles: Shingles, threshold: float) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of texts whose Jaccard similarity is at least `threshold`, sorted.

    Jaccard similarity: shared shingles ÷ all shingles of both, in [0, 1]; texts without words have no pairs.

    >>> texts = ["one of the best trains of this year", "x", "one of the best trains of this year !", "a late train"]
    >>> near_duplicate_pairs(Shingles(texts), 0.8)
    [(0, 2)]
    """
    with NearDuplicateSearch(threshold) as search:
        search.add(shingles)
        return search._confirmed(lambda needed: {text: shingles.of(text) for text in needed.tolist()}).all_pairs()


def rows_per_band(threshold: float) -> int:
    """The widest bands that overlook a pair at the threshold with a probability of at most `MISS_RATE`.

    A pair of similarity s shares a band of r of n rows with probability 1 − (1 − s^r)^(n/r): wide bands give few
    false candidates. Source: Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4.

    >>> rows_per_band(0.8), rows_per_band(0.5)
    (4, 2)
    """
    fitting = [rows for rows in (16, 8, 4, 2, 1) if (1 - threshold**rows) ** (N_PERMUTATIONS // rows) <= MISS_RATE]
    return max(fitting, default=1)


def _first_of_equals(keys: NDArray[np.uint64], worded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The position of the first equal key of each, (n,); its own for texts without words."""
    _, firsts, groups = np.unique(keys, return_index=True, return_inverse=True)
    return np.where(worded, firsts[groups], np.arange(len(keys))).astype(np.int64)


def _shingles_of(needed: NDArray[np.int64], batches: Iterable[Sequence[str]]) -> dict[int, NDArray[np.uint64]]:
    """The distinct shingles of the texts at the needed positions, which are sorted."""
    sets: dict[int, NDArray[np.uint64]] = {}
    start = 0
    for texts in batches if len(needed) else ():
        low, high = np.searchsorted(needed, [start, start + len(texts)])
        chosen = needed[low:high].tolist()
        found = Shingles([texts[text - start] for text in chosen])
        sets |= {text: found.of(at) for at, text in enumerate(chosen)}
        start += len(texts)
    return sets


def _sorted_pairs(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs = np.sort(pairs.reshape(-1, 2), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
