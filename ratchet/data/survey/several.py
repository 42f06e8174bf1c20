"""Whether a column of labels holds several labels a row, which a single-label pipeline has to refuse."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence

MIN_SHARE = 0.01
"""Share of rows with several labels from which they are no slip."""
_SEPARATORS = re.compile(r"\s*[,;|]\s*")


def labels_of(value: str) -> list[str]:
    """The labels that one cell holds: those of a list, or the cell itself.

    >>> labels_of("['joy', 'love']"), labels_of('["joy"]'), labels_of("joy")
    (['joy', 'love'], ['joy'], ['joy'])
    """
    stripped = value.strip()
    if stripped[:1] in "[({" and stripped[-1:] in "])}":
        try:
            parsed = ast.literal_eval(stripped)
        except (ValueError, SyntaxError):
            parsed = None
        if isinstance(parsed, (list, tuple, set)):
            return [str(item) for item in parsed]
        # as NumPy and some exports write a list
        return [part.strip("'\" ") for part in re.split(r"[,\s]+", stripped[1:-1]) if part.strip("'\" ")]
    return [stripped]


def several_labels(values: Sequence[str]) -> list[str]:
    """The cells with several labels, the most frequent first; empty where they are too few to be meant.

    A list is one. So is a joined cell whose parts, all of them, are labels of other rows: `anger, fear`.

    >>> several_labels(["['a']", "['a', 'b']"]), several_labels(["a", "b", "a, b"]), several_labels(["Oslo, Norway"])
    (["['a', 'b']"], ['a, b'], [])
    """
    counts = Counter(values)
    single = {value for value in counts if not _SEPARATORS.search(value)}
    found = {
        value: n
        for value, n in counts.items()
        if len(labels_of(value)) > 1 or (len(parts := _SEPARATORS.split(value.strip())) > 1 and {*parts} <= single)
    }
    enough = sum(found.values()) >= MIN_SHARE * sum(counts.values())
    return sorted(found, key=lambda value: -found[value]) if enough else []


def listed_labels(values: Sequence[str]) -> bool:
    """Whether most cells are lists, also of one label."""
    lists = sum(value.strip()[:1] in ("[", "(", "{") and value.strip()[-1:] in ("]", ")", "}") for value in values)
    return lists > len(values) / 2
