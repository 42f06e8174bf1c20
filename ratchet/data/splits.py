"""Splits by hash or by time, in which no near-duplicates, and no rows of one group, lie on two sides.

By hash a row's side follows from its text and from earlier rows only, so later rows never move it. Rows are taken in
corpus order. One without earlier near-duplicates goes where the hash of its id sends it; one with some joins their
group and side; one whose earlier near-duplicates lie on different sides would carry text from one to the other, so it
is held out of all of them.

By time groups move with the newest of their rows, and the cuts move on with the data: what tested once is trained on
later, as in any evaluation with a rolling origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.sampling import unit_hash
from ratchet.data.split_groups import connected_groups

Pairs = Sequence[tuple[int, int]]

SIDES = ("train", "validation", "test", "transfer")
EXCLUDED = "excluded"
FOREIGN = "a near-duplicate from another domain lies in {side}"
UNDATED = "it has no time to be split by"


@dataclass(frozen=True)
class Assignment:
    """Where each row goes, (n_rows) each."""

    side: list[str]
    group: NDArray[np.int64]
    """The first row of its group; rows held out are alone."""
    reason: list[str]
    """Why it is held out; empty: it is not."""


def hashed_side(key: str, salt: str, validation_rate: float, test_rate: float) -> str:
    """train, validation or test, with these probabilities over the keys, in every stratum alike."""
    value = unit_hash(key, salt)
    if value < test_rate:
        return "test"
    return "validation" if value < test_rate + validation_rate else "train"


def assign_sides(
    ids: Sequence[str],
    in_domain: Sequence[bool],
    pairs: Pairs,
    salt: str,
    validation_rate: float,
    test_rate: float,
    first: Sequence[int] | None = None,
    groups: Sequence[str | None] | None = None,
) -> Assignment:
    """The side of every row, in rows' order, by the hash of its id.

    Args:
        ids: the rows' ids.
        in_domain: whether a row belongs to the domain that is trained on; the others go to `transfer`.
        pairs: positions of near-duplicates; what holds for a row holds for all that have the same `first`.
        salt: what makes this split different from another one over the same ids.
        validation_rate: share of groups for validation, in [0, 1].
        test_rate: share of groups for the test, in [0, 1].
        first: position of the first row with the same words, of each row; by default each row has its own.
        groups: the group of each row, such as its author, that must not lie on two sides; None: it is of no group.
    """
    same = range(len(ids)) if first is None else first
    near, kin = _by_row(pairs), groups if groups is not None else [None] * len(ids)
    # words, or the name of a group → the first row with them that is not held out; all such rows share its side
    placed: dict[int | str, int] = {}
    side: list[str] = []
    reason: list[str] = []
    for row, key in enumerate(ids):
        own = hashed_side(key, salt, validation_rate, test_rate) if in_domain[row] else "transfer"
        own_group = kin[row]
        alike: list[int | str] = [same[row], *near.get(same[row], ()), *([own_group] if own_group else [])]
        neighbours = sorted({placed[words] for words in alike if words in placed})
        sides = {side[other] for other in neighbours}
        why = ""
        if len(sides) > 1:
            why = f"its near-duplicates{' or group' if own_group else ''} lie in {' and '.join(sorted(sides))}"
        elif neighbours and (own == "transfer") != (sides == {"transfer"}):
            why = FOREIGN.format(side=" and ".join(sides))
        elif neighbours:
            own = side[neighbours[0]]
        side.append(EXCLUDED if why else own)
        reason.append(why)
        if not why:
            placed.setdefault(same[row], row)
            if own_group:
                placed.setdefault(own_group, row)
    kept = np.array([name != EXCLUDED for name in side], dtype=bool)
    return Assignment(side, connected_groups(kept, pairs, first, groups), reason)


def assign_sides_by_time(
    times: NDArray[np.datetime64],
    in_domain: Sequence[bool],
    pairs: Pairs,
    validation_rate: float,
    test_rate: float,
    first: Sequence[int] | None = None,
    groups: Sequence[str | None] | None = None,
) -> Assignment:
    """The side of every row by time: the newest texts test, those before them validate, the older ones train.

    A group, of near-duplicates or by name, goes whole where its newest row belongs: no training text is newer than a
    validation text's group, and no older twin of a test text is trained on. Rows without a time are held out.

    Args:
        times: when each text was written, (n_rows,); NaT: nobody knows.
        in_domain: see `assign_sides`, as for the following ones.
        pairs: positions of near-duplicates.
        validation_rate: share of the rows for validation, in [0, 1].
        test_rate: share of the rows for the test, in [0, 1].
        first: position of the first row with the same words, of each row.
        groups: the group of each row.
    """
    n = len(times)
    own, known = np.asarray(in_domain, dtype=bool), ~np.isnat(times)
    group = connected_groups(own & known, pairs, first, groups)
    newest = times.copy()
    inside = np.flatnonzero(own & known)
    np.maximum.at(newest, group[inside], times[inside])
    leaders, sizes = np.unique(group[inside], return_counts=True)
    order = np.lexsort((leaders, newest[leaders]))[::-1]  # newest first
    newer = np.cumsum(sizes[order]) - sizes[order]  # rows of newer groups
    of_group = np.full(n, "train", dtype=object)
    of_group[leaders[order[newer < (test_rate + validation_rate) * len(inside)]]] = "validation"
    of_group[leaders[order[newer < test_rate * len(inside)]]] = "test"
    side = np.where(own, of_group[group], "transfer")
    reason = np.where(own & ~known, UNDATED, "").astype(object)
    for row, found in _sides_of_kin(np.flatnonzero(~own), inside, side, pairs, first, groups).items():
        reason[row] = FOREIGN.format(side=" and ".join(sorted(found)))
    side[reason != ""] = EXCLUDED
    return Assignment(side.tolist(), connected_groups(side != EXCLUDED, pairs, first, groups), reason.tolist())


def _sides_of_kin(
    rows: NDArray[np.int64],
    others: NDArray[np.int64],
    side: NDArray[np.object_],
    pairs: Pairs,
    first: Sequence[int] | None,
    groups: Sequence[str | None] | None,
) -> dict[int, set[str]]:
    """Row → sides of the `others` that are its near-duplicates or of its group, of the rows that have some."""
    same, near = range(len(side)) if first is None else first, _by_row(pairs)
    sides: dict[int | str, set[str]] = {}
    for row in others:
        for key in (same[row], groups[row] if groups else None):
            if key is not None and key != "":
                sides.setdefault(key, set()).add(side[row])
    found = {}
    for row in rows:
        keys: list[Any] = [same[row], *near.get(same[row], ()), groups[row] if groups else None]
        if met := set().union(*(sides.get(key, set()) for key in keys)):
            found[int(row)] = met
    return found


def _by_row(pairs: Pairs) -> Mapping[int, list[int]]:
    """Position → those it makes pairs with."""
    near: dict[int, list[int]] = {}
    for one, other in pairs:
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    return near


def quantile_edges(n_words: Sequence[int], quantiles: Sequence[float]) -> list[int]:
    """The most words of a short text, and of a medium one: quantiles of the lengths, at least one word apart.

    >>> quantile_edges([1, 2, 3, 4, 5, 6, 7, 8, 9], [0.33, 0.67]), quantile_edges([4, 4, 4], [0.33, 0.67])
    ([3, 7], [4, 5])
    """
    ordered = sorted(n_words)
    low, high = (ordered[min(len(ordered) - 1, int(rate * len(ordered)))] if ordered else 0 for rate in quantiles)
    return [low, max(high, low + 1)]
