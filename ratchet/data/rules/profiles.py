"""The profile of the data that was accepted last, and how far other data are from it.

A profile holds how often each class, source and length occurs. It is an input of `validate`, never its output:
somebody looks at the report and accepts it, by `ratchet accept-data`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ratchet.errors import ParamsError
from ratchet.files import read_json, write_json

Counts = dict[Any, int]
"""Value (a number or a name) → rows that have it."""
NUMBERS = ("kept_length",)
"""Columns of a profile whose values are numbers, which JSON can only spell as names."""
PROFILED = ("kept_label", "kept_source", "kept_length")


MAX_NAMES = 10_000
"""Different names that are counted one by one, in the order in which they first occur; further ones are counted
together, so that a column with as many values as rows fits as well."""
FURTHER = "…"
"""The name of those."""


def add_names(counts: Counts, found: Mapping[Any, int]) -> None:
    """Add to the counts of names; from `MAX_NAMES` different ones on, new ones are counted as `FURTHER`.

    >>> counts = {}; add_names(counts, {"a": 2, "b": 1}); add_names(counts, {"b": 3}); counts
    {'a': 2, 'b': 4}
    """
    for name, n in found.items():
        key = name if name in counts or len(counts) < MAX_NAMES else FURTHER
        counts[key] = counts.get(key, 0) + n


def distance(counts: Mapping[Any, int], accepted: Mapping[Any, int]) -> float:
    """How far two distributions are apart, in [0, 1]; 0 when they are equal; NaN where one is empty.

    Names: total variation, half the sum of the absolute differences of their shares, where names that the accepted data
    do not have count as one. Numbers: the largest difference of the cumulative shares (Kolmogorov-Smirnov).
    Source: Gibbs & Su 2002, https://doi.org/10.1111/j.1751-5823.2002.tb00178.x

    >>> distance({"a": 1, "b": 1}, {"a": 1}), distance({1: 1, 2: 1}, {2: 1, 3: 1})
    (0.5, 0.5)
    """
    if not sum(counts.values()) or not sum(accepted.values()):
        return math.nan
    names = isinstance(next(iter(accepted)), str)
    first: Counts = {}
    for value, n in counts.items():
        key = value if value in accepted or not names else FURTHER
        first[key] = first.get(key, 0) + n
    values = sorted({*first, *accepted})
    shares = [np.array([side.get(value, 0) for value in values]) / sum(side.values()) for side in (first, accepted)]
    gaps = shares[0] - shares[1]
    return float(np.abs(gaps).sum() / 2) if names else float(np.abs(np.cumsum(gaps)).max())


def read_profile(path: Path) -> dict[str, Counts] | None:
    """How often each value occurs in the accepted data; None where none has been accepted yet.

    Raises:
        ParamsError: the file is missing or holds something else.
    """
    fix = 'restore it with git, or write {"profile": null} to start without'
    try:
        profile = read_json(path)["profile"]
        if profile is None:
            return None
        return {
            name: {_number(value) if name in NUMBERS else value: int(rows) for value, rows in profile[name].items()}
            for name in PROFILED
        }
    except FileNotFoundError:
        raise ParamsError("The profile of the accepted data is missing.", where=path, fix=fix) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParamsError(
            "The profile of the accepted data cannot be read.",
            where=path,
            got=f"{type(error).__name__}: {error}",
            expected=f"'profile' with {', '.join(PROFILED)}, each value with its number of rows",
            fix=fix,
        ) from None


def accept(report: Path, profile: Path) -> dict[str, Any]:
    """Make the data that a report of `validate` describes the accepted data; its profile.

    Raises:
        ParamsError: the report is missing or has no profile.
    """
    try:
        accepted: dict[str, Any] = read_json(report)["profile"]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ParamsError(
            "There is no profile to accept.",
            where=report,
            got=f"{type(error).__name__}: {error}",
            expected="the report of the stage validate",
            fix="run it: dvc repro validate",
        ) from None
    write_json(profile, {"profile": accepted})
    return accepted


def _number(value: str) -> int:
    return int(value)
