"""Classes that a split leaves out of a side.

By hash they are given rows there where they have enough groups, else named; by time those that come up only after the
cut are found.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ratchet.data.sampling import unit_hash

MIN_GROUPS = 5
"""Groups of labelled texts from which a class has rows on every side: one to validate, one to test, three to train."""
FILLED = ("test", "validation", "train")


@dataclass
class _Counts:
    """Groups of labelled texts by class and side."""

    classes: list[dict[str, None]]
    """Group → its classes."""
    side: list[str]
    """Group → its side."""
    hashed: list[str] = field(default_factory=list)
    """Group → the side it had by hash."""
    of: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(class, side) → how many groups."""

    def __post_init__(self) -> None:
        self.hashed = [*self.side]
        for classes, side in zip(self.classes, self.side, strict=True):
            self.of.update((name, side) for name in classes)

    def may_leave(self, group: int, name: str, early: Sequence[int]) -> bool:
        """Whether the class has another of its early groups on this side, and every other class another group."""
        side = self.side[group]
        others = (other for other in self.classes[group] if other != name)
        own = sum(self.side[one] == side for one in early) if group in early else self.of[name, side]
        return own > 1 and all(self.of[other, side] > 1 for other in others)

    def move(self, group: int, side: str) -> None:
        for name in self.classes[group]:
            self.of[name, self.side[group]] -= 1
            self.of[name, side] += 1
        self.side[group] = side


def fill_sides(
    ids: Sequence[str], side: Sequence[str], group: NDArray[np.int64], label: Sequence[str | None], salt: str
) -> dict[int, str]:
    """First row of a group → the side it moves to, so that each class with `MIN_GROUPS` groups has rows on each side.

    Only classes that the hash left out of a side are looked at, the rarest first. One of a class's first `MIN_GROUPS`
    groups moves, in corpus order: training texts rather than others, by hash from a place of its own for each side, and
    only where its classes keep another group. So the choice stays the same while rows are added, and a moved group goes
    back, from the texts that are measured on to those that are trained on, once the hash itself gives its class a row.

    Args:
        ids: of the rows.
        side: of the rows; those that are on none of `FILLED` are left alone.
        group: the first row of each row's group.
        label: the class of each row; None: nobody has labelled it.
        salt: of the split.
    """
    members: dict[int, dict[str, None]] = {}
    for row, name in enumerate(label):
        if name and side[row] in FILLED:
            members.setdefault(int(group[row]), {}).setdefault(name)
    firsts = sorted(members)
    counts = _Counts([members[row] for row in firsts], [side[row] for row in firsts])
    of_class: dict[str, list[int]] = {}
    for number, row in enumerate(firsts):
        for name in members[row]:
            of_class.setdefault(name, []).append(number)
    moved: dict[int, str] = {}
    for name in sorted(of_class, key=lambda name: (len(of_class[name]), name)):
        numbers = of_class[name]
        if len(numbers) < MIN_GROUPS:
            continue
        early, later = numbers[:MIN_GROUPS], numbers[MIN_GROUPS:]
        for place, target in enumerate(FILLED):
            if counts.of[name, target]:
                continue
            ranked = sorted(early, key=lambda number: unit_hash(ids[firsts[number]], salt))
            ranked = sorted(ranked[place:] + ranked[:place], key=lambda number: counts.hashed[number] != "train")
            chosen = next((number for number in ranked + later if counts.may_leave(number, name, early)), None)
            if chosen is not None:
                counts.move(chosen, target)
                moved[firsts[chosen]] = target
    return moved


def classes_after_cut(
    labels: Sequence[str | None], times: Sequence[str | None], held_out_rate: float
) -> dict[str, int]:
    """Class → its labelled texts, of the classes that a split by time leaves without a training text.

    An estimate from single texts: a group goes where its newest text belongs, which can take a class more of them.

    Args:
        labels: the class of each row; None: it has none.
        times: ISO 8601; None, or what cannot be read: there is none, and the row is on no side.
        held_out_rate: share of the newest rows that validate and test, in (0, 1).

    >>> classes_after_cut(["old", "old", "old", "new"], ["2026-01-01", "2026-01-02", "2026-01-03", "2026-02-01"], 0.3)
    {'new': 1}
    """
    import pandas as pd

    rows = pd.DataFrame({"label": labels, "time": times}, dtype="str")
    rows["time"] = pd.to_datetime(rows["time"], format="ISO8601", utc=True, errors="coerce")
    rows = rows.dropna(subset="time")
    if rows.empty:
        return {}
    n_held_out = math.ceil(held_out_rate * len(rows))
    cut = rows["time"].sort_values(ascending=False).iloc[n_held_out - 1]
    by_class = rows.dropna(subset="label").groupby("label")["time"].agg(["min", "size"])
    return {str(name): int(n) for name, n in by_class["size"][by_class["min"] >= cut].items()}


def lacking(n_groups: Mapping[str, Mapping[str, int]], sides: Sequence[str] = FILLED) -> dict[str, str]:
    """Class → what it lacks, in words, of the classes without rows on some side.

    Args:
        n_groups: class → side → groups of labelled texts there.
        sides: where it must have some.

    >>> lacking({"late": {"train": 1, "test": 1}, "lost": {"train": 9, "test": 3, "validation": 1}})
    {'late': '2 groups of texts, 3 more are needed'}
    """
    found = {}
    for name, counts in n_groups.items():
        there, absent = sum(counts.get(side, 0) for side in sides), [side for side in sides if not counts.get(side)]
        if not absent:
            continue
        if there < MIN_GROUPS:
            plural = "group" if there == 1 else "groups"
            found[name] = f"{there} {plural} of texts, {MIN_GROUPS - there} more are needed"
        else:
            found[name] = f"{there} groups of texts, none of them in {' or '.join(absent)}"
    return found
