"""The profile of the data that was accepted last, against which drift is measured.

A profile holds how often each class, source and length occurs. It is an input of `validate`, never its output:
somebody looks at the report and accepts it, by `ratchet accept-data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratchet.data.rules.tallies import Tally
from ratchet.errors import ParamsError
from ratchet.files import read_json, write_json

NUMBERS = ("kept_length",)
"""Measures of a profile whose values are numbers, which JSON can only spell as names."""
PROFILED = ("kept_label", "kept_source", "kept_length")


def profile_of(tallies: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """The profile as JSON: measure → value → rows; missing values left out."""
    return {name: {str(value): rows for value, rows in tallies[name].items() if value is not None} for name in PROFILED}


def read_profile(path: Path) -> dict[str, Tally] | None:
    """The tallies of the accepted data; None where none has been accepted yet.

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
