"""Which texts say what a held-out text says: the exact Jaccard similarity of their three-word shingles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.data.shingles import Shingles, jaccard


class NearDuplicatesOf:
    """Finds which of a few texts have a near-duplicate among many others, which come in batches.

    Only texts that share a shingle are compared, so the cost is that of reading the others once.

    >>> few = NearDuplicatesOf(["a warm and very quiet room", "late"], 0.6)
    >>> few.among(["nothing of the kind", "A warm and very quiet room indeed!"]).tolist()
    [True, False]
    """

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """Args:
        texts: the few.
        threshold: Jaccard similarity from which two texts are near-duplicates, in (0, 1].
        """
        shingles = Shingles(texts)
        self._threshold = threshold
        self._sets = [shingles.of(text) for text in range(len(texts))]
        self._owners: dict[int, list[int]] = defaultdict(list)
        for text, found in enumerate(self._sets):
            for shingle in found.tolist():
                self._owners[shingle].append(text)
        self._known = np.array(sorted(self._owners), dtype=np.uint64)

    def among(self, others: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of the few texts has a near-duplicate among these others, (n_texts,); one without words none."""
        near = np.zeros(len(self._sets), dtype=bool)
        if not len(self._known):
            return near
        shingles = Shingles(others)
        for other in range(len(shingles)):
            found = shingles.of(other)
            shared = found[np.isin(found, self._known, assume_unique=True)]
            for text in {text for shingle in shared.tolist() for text in self._owners[shingle]}:
                near[text] |= jaccard(self._sets[text], found) >= self._threshold
        return near
