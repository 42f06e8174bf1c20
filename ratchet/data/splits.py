"""Splits by hash: a row's side follows from its text and from earlier rows only, so later rows never move it.

Rows are taken in corpus order. One without earlier near-duplicates goes where the hash of its id sends it; one with
some joins their group and side; one whose earlier near-duplicates lie on different sides would carry text from one to
the other, so it is held out of all of them. Near-duplicates therefore never straddle two sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratchet.data.sampling import unit_hash

SIDES = ("train", "validation", "test", "transfer")
EXCLUDED = "excluded"


@dataclass(frozen=True)
class Assignment:
    """Where each row goes, (n_rows) each: its side, the id of its group's first text, why it is held out if it is."""

    side: list[str]
    group: list[str]
    reason: list[str]


def hashed_side(key: str, salt: str, validation_rate: float, test_rate: float) -> str:
    """train, validation or test, with these probabilities over the keys, in every stratum alike."""
    value = unit_hash(key, salt)
    if value < test_rate:
        return "test"
    return "validation" if value < test_rate + validation_rate else "train"


def assign_sides(
    ids: Sequence[str],
    in_domain: Sequence[bool],
    pairs: Iterable[tuple[int, int]],
    salt: str,
    validation_rate: float,
    test_rate: float,
    first: Sequence[int] | None = None,
    groups: Sequence[str | None] | None = None,
) -> Assignment:
    """The side of every row, in rows' order.

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
    first = range(len(ids)) if first is None else first
    near: dict[int, list[int]] = {}
    kin = groups if groups is not None else [None] * len(ids)
    for one, other in pairs:
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    # words, or the name of a group → the first row with them that is not held out; all such rows share its side
    placed: dict[int | str, int] = {}
    side: list[str] = []
    group: list[str] = []
    reason: list[str] = []
    for row, key in enumerate(ids):
        own = hashed_side(key, salt, validation_rate, test_rate) if in_domain[row] else "transfer"
        own_group = kin[row]
        alike: list[int | str] = [first[row], *near.get(first[row], ()), *([own_group] if own_group else [])]
        neighbours = sorted({placed[words] for words in alike if words in placed})
        sides = {side[other] for other in neighbours}
        why = ""
        if len(sides) > 1:
            why = f"its near-duplicates{' or group' if own_group else ''} lie in {' and '.join(sorted(sides))}"
        elif neighbours and (own == "transfer") != (sides == {"transfer"}):
            why = f"a near-duplicate from another domain lies in {' and '.join(sides)}"
        elif neighbours:
            own = side[neighbours[0]]
        side.append(EXCLUDED if why else own)
        group.append(group[neighbours[0]] if neighbours else key)
        reason.append(why)
        if not why:
            placed.setdefault(first[row], row)
            if own_group:
                placed.setdefault(own_group, row)
    return Assignment(side, group, reason)


def quantile_edges(n_words: Sequence[int], quantiles: Sequence[float]) -> list[int]:
    """The most words of a short text, and of a medium one: quantiles of the lengths, at least one word apart.

    >>> quantile_edges([1, 2, 3, 4, 5, 6, 7, 8, 9], [0.33, 0.67]), quantile_edges([4, 4, 4], [0.33, 0.67])
    ([3, 7], [4, 5])
    """
    ordered = sorted(n_words)
    low, high = (ordered[min(len(ordered) - 1, int(rate * len(ordered)))] if ordered else 0 for rate in quantiles)
    return [low, max(high, low + 1)]
