"""Report files for Git: rounded to what intervals support, sorted, one figure a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratchet.files import plain_value, replace_file, write_json
from ratchet.measure.machine_figures import difference, drop

ENDS = ("value", "low", "high")
SIGNIFICANT = 5
"""Digits kept of a figure without an interval."""


def write_report(path: Path, report: Any, measurements: Path | None = None) -> None:
    """Write the report; with `measurements`, what depends on the machine goes to that file instead, unrounded."""
    if measurements is not None:
        write_parts(path, measurements, report, drop(report))
        return
    with replace_file(path) as partial:
        partial.write_text(report_text(report), encoding="utf-8")


def write_parts(path: Path, measurements: Path, report: Any, kept: Any) -> None:
    """Write what is kept of the report, rounded, and to `measurements` what `merge` must add to it."""
    write_json(measurements, difference(plain_value(report), plain_value(kept)))
    write_report(path, kept)


def report_text(report: Any) -> str:
    """The report as JSON with sorted keys, each estimate on one line.

    >>> print(report_text({"b": {"value": 0.79312, "low": 0.7741, "high": 0.8122, "n": 1706}, "a": [1, 2]}), end="")
    {
     "a": [
      1,
      2
     ],
     "b": {"value": 0.793, "low": 0.774, "high": 0.812, "n": 1706}
    }
    """
    return _text(rounded(plain_value(report)), "") + "\n"


def rounded(value: Any) -> Any:
    """Every estimate to two digits of its half-width, every other figure to `SIGNIFICANT` digits.

    A half-width of 0.024 supports three decimals: the last digit shown is uncertain, and those after it say nothing.

    Source: JCGM 100:2008 (GUM), 7.2.6: uncertainties are quoted to at most two significant digits.

    >>> rounded({"value": 12.6441, "low": 11.02, "high": 14.26, "n": 80})
    {'value': 12.6, 'low': 11.0, 'high': 14.3, 'n': 80}
    """
    if _is_estimate(value):
        decimals = _decimals(*(value[end] for end in ENDS))
        return {**value, **{end: _round(value[end], decimals) for end in ENDS}}
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return _significant(value) if isinstance(value, float) else value


def _decimals(value: float | None, low: float | None, high: float | None) -> int | None:
    """The decimals that the interval supports; None where there is no interval."""
    if low is None or high is None or value is None or high <= low:
        return None
    return 1 - math.floor(math.log10((high - low) / 2))


def _round(value: float | None, decimals: int | None) -> float | None:
    if value is None or decimals is None:
        return None if value is None else _significant(float(value))
    return round(float(value), decimals) + 0.0  # −0.0 is 0.0


def _significant(value: float) -> float:
    if value == 0 or not math.isfinite(value):
        return value + 0.0
    return round(value, SIGNIFICANT - 1 - math.floor(math.log10(abs(value))))


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and {*ENDS, "n"} <= value.keys() <= {*ENDS, "n", "reason"}


def _text(value: Any, indent: str) -> str:
    inner = f"{indent} "
    if _is_estimate(value):
        ordered = {key: value[key] for key in (*ENDS, "n", "reason") if key in value}
        return json.dumps(ordered, ensure_ascii=False, allow_nan=False)
    if isinstance(value, Mapping) and value:
        items = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {_text(value[key], inner)}" for key in sorted(value))
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(inner + _text(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
