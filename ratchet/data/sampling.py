"""Samples by hash: they follow from ids alone, so that a sample changes little when rows are added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLOOR = 32
"""Rows of each class that a sample by class takes before it takes more of the frequent ones."""


def unit_hash(key: str, salt: str) -> float:
    """A number in [0, 1) that depends on key and salt alone: the first 52 bits of the SHA-256 of both.

    >>> 0 <= unit_hash("id", "salt") < 1, unit_hash("id", "a") == unit_hash("id", "b")
    (True, False)
    """
    return int(hashlib.sha256(f"{salt}\n{key}".encode()).hexdigest()[:13], 16) / 16**13


def smallest_hashes(ids: Sequence[str], strata: Sequence[str], salt: str, n: int, at_least: int = 0) -> list[int]:
    """Positions, ascending, of a sample of at most n rows: each stratum gives its share, by smallest hash.

    Every stratum gives `at_least` rows first, or all it has; where that is more than n, as many as n leaves for each.
    The rest is shared out in proportion to what the strata still have, by largest remainder.

    >>> smallest_hashes(["a", "b", "c", "d"], ["x", "x", "y", "y"], "salt", 2) in ([0, 2], [0, 3], [1, 2], [1, 3])
    True
    >>> sorted("xxxxxxyy"[row] for row in smallest_hashes(list("abcdefgh"), list("xxxxxxyy"), "salt", 4, at_least=2))
    ['x', 'x', 'y', 'y']
    """
    members: dict[str, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    shares = _shares({stratum: len(rows) for stratum, rows in members.items()}, n, at_least)
    chosen = [
        row
        for stratum, rows in members.items()
        for row in sorted(rows, key=lambda row: (unit_hash(ids[row], salt), ids[row]))[: shares[stratum]]
    ]
    return sorted(chosen)


def sample_by_class(frame: pd.DataFrame, n: int, salt: str = "by class") -> pd.DataFrame:
    """At most n rows of a labelled table, in its order: each class by its share, and `FLOOR` rows of it first."""
    if len(frame) <= n:
        return frame
    rows = smallest_hashes(frame["id"].tolist(), frame["label"].tolist(), salt, n, FLOOR)
    return frame.iloc[rows].reset_index(drop=True)


def _shares(sizes: Mapping[str, int], n: int, at_least: int) -> dict[str, int]:
    """Rows of each stratum of a sample of at most n."""
    n = min(n, sum(sizes.values()))
    while at_least and sum(min(size, at_least) for size in sizes.values()) > n:
        at_least -= 1
    first = {stratum: min(size, at_least) for stratum, size in sizes.items()}
    left, there = n - sum(first.values()), sum(sizes.values()) - sum(first.values())
    exact = {stratum: left / max(there, 1) * (size - first[stratum]) for stratum, size in sizes.items()}
    shares = {stratum: first[stratum] + int(value) for stratum, value in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (int(exact[stratum]) - exact[stratum], stratum))
    for stratum in by_remainder[: n - sum(shares.values())]:
        shares[stratum] += 1
    return shares
