"""Expectations as a suite's file holds them: the types that are proposed, and bounds that were learnt from a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratchet.data.rules.sample_profile import SampleProfile

BETWEEN = "expect_column_values_to_be_between"
IN_SET = "expect_column_values_to_be_in_set"
NOT_NULL = "expect_column_values_to_not_be_null"
AT_LEAST = "expect_column_min_to_be_between"
AT_MOST = "expect_column_max_to_be_between"
HAS = "expect_column_distinct_values_to_contain_set"
NONE: dict[str, Any] = {"max_value": 0}

Entry = dict[str, Any]
"""An expectation as a suite's file holds it."""


def rule(
    name: str,
    severity: str,
    reason: str,
    kind: str,
    column: str,
    bounds: Mapping[str, Any] | None = None,
    learnt: str | None = None,
) -> Entry:
    """A rule.

    Args:
        name: its name in reports.
        severity: stop, quarantine or warn.
        reason: why a row, or the table, breaks it, in words.
        kind: the type of the expectation.
        column: what it judges.
        bounds: further arguments of the expectation.
        learnt: what the bounds were learnt from; None: nothing.
    """
    meta = {"rule": name, "severity": severity, "reason": reason} | ({"learnt_from": learnt} if learnt else {})
    return {"type": kind, "kwargs": {"column": column, **(bounds or {})}, "meta": meta}


def at_most(name: str, severity: str, reason: str, column: str, bound: float, learnt: str | None = None) -> Entry:
    """A rule that the largest value of a column is at most `bound`."""
    return rule(name, severity, reason, AT_MOST, column, {"max_value": bound}, learnt)


def drift(name: str, reason: str, column: str, bound: float) -> Entry:
    """A warning of a distance from the accepted data above `bound`."""
    return at_most(name, "warn", reason, column, bound)


def for_language(entry: Entry, language: str) -> Entry:
    """A rule that is for the texts of one language alone.

    >>> made = for_language(rule("short", "warn", "too short", BETWEEN, "n_words", {"min_value": 3}), "de")
    >>> made["meta"]["rule"], made["meta"]["languages"]
    ('short_de', ['de'])
    """
    return {**entry, "meta": {**entry["meta"], "rule": f"{entry['meta']['rule']}_{language}", "languages": [language]}}


def learnt_from(profile: SampleProfile, what: str) -> str:
    """What a bound was learnt from, in words."""
    return f"{profile.n_rows:,} sampled rows: {what}"


def above(rate: float, least: float) -> float:
    """A bound above an observed share: twice it, or half of the way to 1, and at least `least`.

    >>> above(0.001, 0.05), above(0.1, 0.05), above(0.8, 0.05)
    (0.05, 0.2, 0.9)
    """
    return rounded(max(least, min(2 * rate, (1 + rate) / 2)))


def rounded(value: float) -> float:
    """Two digits are enough for a bound, so that people can read it; whole numbers stay whole."""
    short = float(f"{value:.2g}")
    return int(short) if short.is_integer() else short
