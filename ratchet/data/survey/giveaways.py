"""What gives a label away without the text being read: another column, an id, the order of the rows.

A model never sees such a column, but a slice by it is a slice by the label, and a split or a sample that follows the
order is one class. Source: Kaufman et al. 2012, Leakage in Data Mining, https://doi.org/10.1145/2382577.2382579.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

MIN_ACCURACY = 0.95
"""Accuracy of the label told by a column alone from which the column gives the label away."""
MIN_GAIN = 0.5
"""Share of the most frequent class's errors that the column must take away, so that a rare class is no reason."""


@dataclass(frozen=True)
class Giveaway:
    """A column that tells the label."""

    column: str
    how: str
    """By its value, by its letters, or by the order of its values."""
    accuracy: float
    """Share of held-out rows whose label it tells, in [0, 1]."""


def find_giveaways(columns: Mapping[str, Sequence[str | None]], labels: Sequence[str | None]) -> list[Giveaway]:
    """The columns that tell the label of rows that were not looked at, each by the way that tells most.

    Args:
        columns: name → values, (n_rows,).
        labels: (n_rows,); rows without one are passed over.
    """
    rows = [row for row, label in enumerate(labels) if label is not None]
    classes = [str(labels[row]) for row in rows]
    found = []
    for name, values in columns.items():
        own = ["" if values[row] is None else str(values[row]) for row in rows]
        ways = {
            "its value": own,
            "its letters": [_letters(value) for value in own],
            "the order of its values": _blocks(own),
        }
        told = {how: held_out_accuracy(keys, classes) for how, keys in ways.items() if keys}
        how = max(told, key=lambda way: told[way])
        if gives_away(told[how], classes[1::2]):
            found.append(Giveaway(name, how, told[how]))
    return found


def gives_away(accuracy: float, classes: Sequence[str]) -> bool:
    """Whether an accuracy on rows of these classes is high, and far above that of naming the most frequent one."""
    base = max(Counter(classes).values(), default=0) / max(len(classes), 1)
    gains = 1 - accuracy <= (1 - MIN_GAIN) * (1 - base)
    return base < 1 and accuracy >= MIN_ACCURACY and gains


def held_out_accuracy(keys: Sequence[str], classes: Sequence[str]) -> float:
    """Share of every second row whose class is the most frequent one of its key in the other rows, in [0, 1].

    A key that only one half has tells nothing of the other: a column of unique values scores 0.

    >>> held_out_accuracy(["a", "a", "b", "b"], ["x", "x", "y", "y"]), held_out_accuracy(list("abcd"), list("xxyy"))
    (1.0, 0.0)
    """
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key, label in zip(keys[::2], classes[::2], strict=True):
        seen[key][label] += 1
    best = {key: counts.most_common(1)[0][0] for key, counts in seen.items()}
    held = list(zip(keys[1::2], classes[1::2], strict=True))
    return sum(best.get(key) == label for key, label in held) / max(len(held), 1)


def runs_of_labels(labels: Sequence[str | None]) -> float:
    """Share of neighbouring rows of one class, over what chance would give; 1: the order says nothing.

    Far above 1 the rows are sorted by class: the first rows are no sample.
    """
    classes = [label for label in labels if label is not None]
    same = sum(one == other for one, other in pairwise(classes)) / max(len(classes) - 1, 1)
    chance = sum((n / max(len(classes), 1)) ** 2 for n in Counter(classes).values())
    return same / chance if chance else 1.0


def _letters(value: str) -> str:
    """An id without its digits: the class may stand beside them."""
    return re.sub(r"[\d\W_]+", "", value)


def _blocks(values: Sequence[str]) -> list[str]:
    """Twenty blocks of equal size in the order of the values as numbers; empty where they are none."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return []
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    block = [""] * len(numbers)
    for place, row in enumerate(order):
        block[row] = str(place * 20 // max(len(numbers), 1))
    return block
