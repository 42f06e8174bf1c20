"""The unlabelled pool as query strategies see it: embeddings and probabilities, in chunks that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Proba = NDArray[np.float64]
Scores = NDArray[np.float64]
Indices = NDArray[np.int64]
Embeddings = NDArray[np.float32]

CHUNK = 16_384
"""Texts looked at in one piece: what bounds memory, whatever the size of the pool."""


DrawProba = Callable[[Embeddings], NDArray[np.float64]]
"""Embeddings (n, hidden) → probabilities under models that fit about equally well, (n_draws, n, n_classes)."""


@dataclass(frozen=True)
class Pool:
    """The pool: embeddings, labelled mask and class probabilities."""

    embeddings: NDArray[Any]
    """(n_pool, hidden), each of unit length; of any float type, and possibly on disk (np.memmap)."""
    labeled: NDArray[np.bool_]
    """(n_pool,): those that have a label already, or may never be asked for."""
    proba: Proba
    """Class probabilities, (n_pool, n_classes); uniform while there is no model."""
    draw_proba: DrawProba | None = None
    """None while there is no model."""

    @cached_property
    def unlabeled(self) -> Indices:
        """The rows that may be asked for, ascending."""
        return np.flatnonzero(~self.labeled)

    def rows(self, indices: Indices) -> Embeddings:
        """The embeddings of these rows in memory, (n, hidden), in 32-bit."""
        return np.asarray(self.embeddings[indices], dtype=np.float32)


QueryStrategy = Callable[[Pool, int, np.random.Generator], Indices]
"""(pool, batch_size, rng) → indices into the pool, (≤ batch_size,)."""


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Slices that cover 0 to n in order.

    >>> list(chunks(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def at_most(n: int, rows: Indices, batch_size: int, rng: np.random.Generator) -> Indices:
    """These rows, or a random sample of n where there are more; never fewer than a batch; ascending.

    Args:
        n: how many to keep.
        rows: what to keep of, ascending.
        batch_size: what will be chosen of them.
        rng: draws the sample; untouched when all are kept.

    >>> rng = np.random.default_rng(0)
    >>> at_most(3, np.arange(3), 2, rng).tolist(), len(at_most(3, np.arange(9), 5, rng))
    ([0, 1, 2], 5)
    """
    if len(rows) <= max(n, batch_size):
        return rows
    return np.sort(rng.choice(rows, max(n, batch_size), replace=False))


def margin_scores(proba: Proba) -> Scores:
    """1 − (largest − second largest probability) of each row, (n,): 1 for a tie, 0 for a certain prediction.

    Source: Luo et al. 2005, Active learning to recognize multiple types of plankton ("breaking ties"),
    https://jmlr.org/papers/v6/luo05a.html.

    >>> margin_scores(np.array([[0.75, 0.25], [0.5, 0.5]])).tolist()
    [0.5, 1.0]
    """
    two = np.partition(proba, -2, axis=1)[:, -2:]
    between: Scores = two[:, 1] - two[:, 0]
    return 1.0 - between


def highest(scores: Scores, rows: Indices, n: int, rng: np.random.Generator) -> Indices:
    """The n rows of the highest scores, highest first; ties in random order.

    Args:
        scores: of each row, (n_rows,).
        rows: what the scores belong to, (n_rows,).
        n: rows wanted; all of them when there are fewer.
        rng: breaks ties.
    """
    if n <= 0:
        return rows[:0]
    if n < len(rows):  # only what reaches the n-th score needs sorting
        bound = np.partition(scores, -n)[-n]
        keep = scores >= bound
        scores, rows = scores[keep], rows[keep]
    order = rng.permutation(len(rows))
    found: Indices = rows[order][np.argsort(-scores[order], kind="stable")[:n]]
    return found
