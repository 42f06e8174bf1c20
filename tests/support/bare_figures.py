"""Figures of a report that stand without an interval, for tests of the steps that measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.measure.formats import is_estimate

NOT_ESTIMATED = {
    "rate": "where on a curve",
    "coverage": "where on a curve",
    "confidence": "where on a curve",
    "least_confidence": "a threshold",
    "threshold": "a threshold",
    "temperature": "fitted",
    "rules": "thresholds",
    "p_value": "a test",
    "power": "what the intervals can show",
    "change": "of one text",
    "confidence lost": "of one text",
    "score": "of one text",
}
"""Names of numbers that have no interval, and what they are."""


def bare_figures(part: Any, where: str = "") -> list[str]:
    """Paths of all numbers with a fraction that are in no estimate; whole numbers are counts.

    >>> bare_figures({"n": 3, "p_value": 0.1, "rows": [{"mean": 0.5}, {"value": 0.5, "low": 0, "high": 1, "n": 4}]})
    ['/rows/mean']
    """
    if is_estimate(part) or isinstance(part, str):
        return []
    if isinstance(part, Mapping):
        named = [(key, item) for key, item in part.items() if key not in NOT_ESTIMATED]
        return [path for key, item in named for path in bare_figures(item, f"{where}/{key}")]
    if isinstance(part, Sequence):
        return [path for item in part for path in bare_figures(item, where)]
    return [where] if isinstance(part, float) else []
