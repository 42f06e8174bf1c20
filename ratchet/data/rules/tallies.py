"""Measures of the rows of a table, and their tallies: each value with the number of rows that have it.

A tally is all that a rule about the whole table needs, and it stays small however many rows there are. Measures take
a few bytes a row, so five million rows fit where their texts do not. Rules are judged here, once: the rows that break
one and Great Expectations' verdict on the tally come from the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.suites import Rule

Tally = dict[Any, int]
"""Value (a number, a name, or None where it is missing) → rows that have it."""
ACCEPTED = "accepted "
"""Before the name of a measure: its tally in the data that was accepted last."""


@dataclass(frozen=True)
class Names:
    """A measure whose values are names: (n_rows,) positions in `names`, -1 where the value is missing."""

    codes: NDArray[np.int32]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)


Measure = NDArray[Any] | Names
"""The value of each row, (n_rows,): numbers, or names."""


def encode(values: Iterable[str | None]) -> Names:
    """Values as positions in the list of those that occur, in the order in which they first do.

    >>> encode(["b", None, "a", "b"])
    Names(codes=array([ 0, -1,  1,  0], dtype=int32), names=['b', 'a'])
    """
    known: dict[str, int] = {}
    codes = [-1 if value is None or value != value else known.setdefault(value, len(known)) for value in values]
    return Names(np.array(codes, dtype=np.int32), list(known))


def join(parts: Sequence[Measure]) -> Measure:
    """The measures of successive batches as one.

    >>> join([encode(["a"]), encode(["b", "a"])]).codes.tolist()
    [0, 1, 0]
    """
    if not any(isinstance(part, Names) for part in parts):
        return np.concatenate(parts) if parts else np.zeros(0)  # type: ignore[arg-type]
    known: dict[str, int] = {}
    joined = []
    for part in parts:
        assert isinstance(part, Names)
        places = np.array([known.setdefault(name, len(known)) for name in part.names] + [-1], dtype=np.int32)
        joined.append(places[part.codes])  # -1 is the last
    return Names(np.concatenate(joined), list(known))


def take(measure: Measure, rows: NDArray[Any]) -> Measure:
    """The measure of the chosen rows, by position or by mask."""
    return Names(measure.codes[rows], measure.names) if isinstance(measure, Names) else measure[rows]


def tally(measure: Measure) -> Tally:
    """Each value with its number of rows, in the order of the values; missing values last.

    >>> tally(np.array([2, 0, 2])), tally(encode(["b", None, "b"]))
    ({0: 1, 2: 2}, {'b': 2, None: 1})
    """
    if isinstance(measure, Names):
        counts = np.bincount(measure.codes + 1, minlength=len(measure.names) + 1).tolist()
        named = {name: n for name, n in sorted(zip(measure.names, counts[1:], strict=True)) if n}
        return named | ({None: counts[0]} if counts[0] else {})
    values, numbers = np.unique(measure, return_counts=True)
    return {None if value != value else value: n for value, n in zip(values.tolist(), numbers.tolist(), strict=True)}


def breaks(rule: Rule, values: Sequence[Any]) -> list[bool]:
    """Whether each value breaks a rule about rows; a missing one does not.

    >>> rule = Rule("r", "warn", "", "expect_measure_to_be_in_set", {"measure": "m", "value_set": ["a"]})
    >>> breaks(rule, ["a", "b", None])
    [False, True, False]
    """
    if rule.type == "expect_measure_to_be_in_set":
        allowed = {None, *rule.kwargs["value_set"]}
        return [value not in allowed for value in values]
    low, high = rule.kwargs.get("min_value", -math.inf), rule.kwargs.get("max_value", math.inf)
    if rule.type == "expect_texts_not_to_match":
        high = 0
    return [value is not None and (value < low or value > high) for value in values]


def broken_rows(rule: Rule, measure: Measure) -> NDArray[np.int64]:
    """Positions, ascending, of the rows that break a rule about rows."""
    if isinstance(measure, Names):
        bad = np.array([*breaks(rule, measure.names), *breaks(rule, [None])], dtype=bool)
        return np.flatnonzero(bad[measure.codes])
    values, places = np.unique(measure, return_inverse=True)
    bad = np.array(breaks(rule, [None if value != value else value for value in values.tolist()]), dtype=bool)
    return np.flatnonzero(bad[places]) if bad.any() else np.zeros(0, dtype=np.int64)


def mean(counts: Tally) -> float:
    """Mean of the values over the rows that have one; NaN without any."""
    n = sum(rows for value, rows in counts.items() if value is not None)
    return total(counts) / n if n else math.nan


def total(counts: Tally) -> float:
    """Sum of the values over all rows; 0 without any."""
    return float(sum(value * rows for value, rows in counts.items() if value is not None))


def rates(counts: Tally, names: Sequence[str]) -> dict[str, float]:
    """The share of each name in the rows that have a value, in [0, 1]; NaN where no row has one."""
    n = sum(rows for value, rows in counts.items() if value is not None)
    return {name: counts.get(name, 0) / n if n else math.nan for name in names}


def distance(counts: Tally, accepted: Mapping[Any, int]) -> float:
    """How far two distributions are apart, in [0, 1]; 0 when they are equal; NaN where one is empty.

    Names: total variation, half the sum of the absolute differences of their shares. Numbers: the largest difference
    of the cumulative shares (Kolmogorov-Smirnov). Source: Gibbs & Su 2002, https://doi.org/10.1111/j.1751-5823.2002.tb00178.x

    >>> distance({"a": 1, "b": 1}, {"a": 1}), distance({1: 1, 2: 1}, {2: 1, 3: 1})
    (0.5, 0.5)
    """
    first = {value: n for value, n in counts.items() if value is not None}
    other = {value: n for value, n in accepted.items() if value is not None}
    if not sum(first.values()) or not sum(other.values()):
        return math.nan
    values = sorted({*first, *other})
    shares = [np.array([side.get(value, 0) for value in values]) / sum(side.values()) for side in (first, other)]
    gaps = shares[0] - shares[1]
    if isinstance(values[0], str):
        return float(np.abs(gaps).sum() / 2)
    return float(np.abs(np.cumsum(gaps)).max())
