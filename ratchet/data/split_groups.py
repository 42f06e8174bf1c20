"""Groups that must stay together: near-duplicates of near-duplicates, and rows of one author, thread or pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def connected_groups(
    kept: NDArray[np.bool_],
    pairs: Sequence[tuple[int, int]],
    first: Sequence[int] | None = None,
    groups: Sequence[str | None] | None = None,
) -> Rows:
    """The first row of each row's group, (n_rows,): the connected components of what ties rows together.

    Args:
        kept: whether a row belongs to a side, (n_rows,); the others tie nothing, and each is a group of its own.
        pairs: positions of near-duplicates; what holds for a row holds for all with the same `first`.
        first: position of the first row with the same words, (n_rows,); by default each row has its own.
        groups: the name of the group of each row, such as its author; None: it is of no group.

    >>> connected_groups(np.array([True] * 5), [(0, 1), (1, 2)], None, [None, None, "x", None, "x"]).tolist()
    [0, 0, 0, 3, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, rows = len(kept), np.flatnonzero(kept)
    own = np.arange(n) if first is None else np.asarray(first)
    both = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    worded = np.zeros(n, dtype=bool)
    worded[own[rows]] = True  # words that a kept row has: those of rows held out lead from nothing to nothing
    names, of_row = _codes(groups, n)
    named = rows[of_row[rows] >= 0]
    # a node for each row's words, then one for each row, then one for each name
    tied = both[worded[both].all(axis=1)]
    start = np.concatenate([tied[:, 0], n + rows, n + named])
    end = np.concatenate([tied[:, 1], own[rows], 2 * n + of_row[named]])
    size = 2 * n + names
    _, component = connected_components(coo_array((np.ones(len(start), bool), (start, end)), (size, size)), False)
    found, leader = np.arange(n), np.full(size, n)
    np.minimum.at(leader, component[n + rows], rows)
    found[rows] = leader[component[n + rows]]
    return found


def _codes(groups: Sequence[str | None] | None, n: int) -> tuple[int, Rows]:
    """How many different names there are, and the number of each row's, (n,); −1: it has none."""
    if groups is None:
        return 0, np.full(n, -1)
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(name, len(numbers)) if name else -1 for name in groups]
    return len(numbers), np.array(codes, dtype=np.int64)
