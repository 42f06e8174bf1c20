"""Rules as people edit them: Great Expectations' own suite files (JSON), read strictly.

    {
      "name": "corpus",
      "expectations": [
        {
          "type": "expect_column_values_to_be_between",
          "kwargs": {"column": "n_words", "min_value": 3},
          "meta": {"rule": "too_few_words", "severity": "quarantine", "reason": "too few words"}
        }
      ]
    }

`meta` holds the rule's name, its severity and the reason in words; `learnt_from` says from which data a bound was
learnt; `languages` (ISO 639) whose texts a rule about rows is for, all where it is missing. *stop* ends the pipeline,
*quarantine* sets the row aside, *warn* only counts and reports. A value `{"$PARAMETER": name}` is filled in from the
params of the step, which is Great Expectations' own notation for it.

The kinds of expectation are Great Expectations' own. Those of `ROW_TYPES` judge each row of the measured table, those
of `TABLE_TYPES` the one row of figures that describes the whole table, or its columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from ratchet.data.rules.suite_files import read_suite_file
from ratchet.errors import ParamsError
from ratchet.params import Params

Severity = Literal["stop", "quarantine", "warn"]
SEVERITIES = {"stop": "critical", "quarantine": "warning", "warn": "info"}
"""Our severities in Great Expectations' words."""


class _Meta(Params):
    rule: str = Field(pattern="^[a-z][a-z0-9_]*$")
    severity: Severity
    reason: str = Field(min_length=1)
    learnt_from: str | None = None
    languages: list[Annotated[str, Field(pattern="^[a-z]{2,3}$")]] | None = Field(None, min_length=1)


class _Entry(Params):
    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any]
    severity: str | None = None
    """Great Expectations' own, where it wrote the file."""
    id: str | None = None
    notes: str | list[str] | None = None


class _File(Params):
    name: str = Field(min_length=1)
    expectations: list[_Entry] = Field(min_length=1)
    meta: dict[str, Any] | None = None
    id: str | None = None
    notes: str | list[str] | None = None


class _Column(Params):
    column: str = Field(min_length=1)


class _Between(_Column):
    min_value: float | None = None
    max_value: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min_value is None and self.max_value is None:
            raise ValueError("min_value or max_value is needed")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError(f"min_value {self.min_value:g} is above max_value {self.max_value:g}")
        return self


class _Set(_Column):
    value_set: list[str] = Field(min_length=1)


ROW_TYPES: dict[str, type[Params]] = {
    "expect_column_values_to_be_between": _Between,
    "expect_column_values_to_be_in_set": _Set,
    "expect_column_values_to_not_be_in_set": _Set,
    "expect_column_values_to_not_be_null": _Column,
}
"""The kinds that judge each row, and what they take; a missing value breaks only the last."""
TABLE_TYPES: dict[str, type[Params]] = {
    "expect_column_min_to_be_between": _Between,
    "expect_column_max_to_be_between": _Between,
    "expect_column_distinct_values_to_contain_set": _Set,
}
"""The kinds that judge the table as a whole: a figure that could not be measured breaks them."""
KWARGS = {**ROW_TYPES, **TABLE_TYPES}


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite."""

    name: str
    severity: Severity
    reason: str
    type: str
    kwargs: dict[str, Any]
    """Great Expectations' arguments, parameters filled in."""
    learnt_from: str | None = None
    languages: tuple[str, ...] = ()
    """Languages whose texts it is for; none: all."""

    @property
    def judges_rows(self) -> bool:
        """Whether it judges each row, not the table as a whole."""
        return self.type in ROW_TYPES

    @property
    def column(self) -> str:
        """The measured column it looks at."""
        return str(self.kwargs["column"])

    @property
    def expected(self) -> str:
        """The values the rule allows, in words.

        >>> Rule("r", "warn", "", "expect_column_values_to_be_between", {"column": "n", "min_value": 3}).expected
        'n at least 3'
        """
        values = ", ".join(self.kwargs.get("value_set", []))
        words = {
            "expect_column_values_to_be_in_set": f"{self.column} one of {values}",
            "expect_column_values_to_not_be_in_set": f"{self.column} none of {values}",
            "expect_column_values_to_not_be_null": f"{self.column} not missing",
            "expect_column_distinct_values_to_contain_set": f"{self.column} has {values}",
        }
        expected = words.get(self.type, f"{self.column} {bounds_text(self.kwargs)}")
        return f"{expected} in texts of {', '.join(self.languages)}" if self.languages else expected


@dataclass(frozen=True)
class Suite:
    """The rules of one table, in the order in which a quarantined row is given its reason."""

    name: str
    path: str
    rules: tuple[Rule, ...]


MATCHES = "matches of "
"""Before a regular expression (RE2): the column that counts its matches in each text."""


def bounds_text(kwargs: dict[str, Any]) -> str:
    """The bounds in words.

    >>> bounds_text({"min_value": 3, "max_value": 5000})
    'at least 3 and at most 5,000'
    """
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    parts = [
        f"at least {_plain(low)}" if low is not None else "",
        f"at most {_plain(high)}" if high is not None else "",
    ]
    return " and ".join(part for part in parts if part)


def read_suite(path: Path, parameters: dict[str, Any]) -> Suite:
    """The suite of a file; every fault in it is named in one message.

    Args:
        path: the file.
        parameters: what `{"$PARAMETER": name}` stands for.

    Raises:
        ParamsError: the file is missing or no JSON, a kind of expectation, a key or a parameter is not known, a bound
            is missing or out of order, a rule's name repeats, or a rule about the whole table is to quarantine rows.
    """
    suite, faults = suite_with_faults(path, parameters)
    if suite is None or faults:
        raise ParamsError(
            "The suite does not hold what a suite must.",
            where=path,
            got="; ".join(str(fault) for fault in faults),
            expected="name, and expectations with type, kwargs and meta (rule, severity: stop, quarantine or warn, "
            "reason)",
            fix="correct the file; the kinds of expectation and what they take stand in ratchet/data/rules/suites.py",
        )
    return suite


def read_suites(paths: Sequence[Path], parameters: dict[str, Any]) -> list[Suite]:
    """The suites of one table, each as `read_suite` reads it.

    Raises:
        ParamsError: as `read_suite`; or two of them have a rule of the same name, so that reports would mix them up.
    """
    suites = [read_suite(path, parameters) for path in paths]
    seen: dict[str, str] = {}
    for suite in suites:
        for rule in suite.rules:
            if (other := seen.setdefault(rule.name, suite.path)) != suite.path:
                raise ParamsError(
                    f"Two suites have a rule '{rule.name}'.",
                    where=suite.path,
                    got=f"the name stands in {other} too",
                    expected="a name for each rule",
                    fix="rename one of them",
                )
    return suites


@dataclass(frozen=True)
class SuiteFault:
    """Something in a suite that does not hold."""

    number: int
    """Of the expectation, from 1; 0: the file itself."""
    rule: str
    """Its rule, or its type where it has no name."""
    problem: str

    def __str__(self) -> str:
        return f"expectation {self.number} ({self.rule}): {self.problem}" if self.number else self.problem


def suite_with_faults(path: Path, parameters: dict[str, Any]) -> tuple[Suite | None, list[SuiteFault]]:
    """The suite of the rules that hold (None: the file is no suite), and every fault of the others.

    Raises:
        ParamsError: the file is missing or no JSON.
    """
    try:
        file = _File.model_validate(read_suite_file(path))
    except pydantic.ValidationError as error:
        return None, [SuiteFault(0, "", problem) for problem in _faults(error)]
    faults: list[SuiteFault] = []
    rules: list[Rule] = []
    for number, entry in enumerate(file.expectations, start=1):
        rule, found = _rule(entry, parameters)
        if rule is not None and rule.name in {known.name for known in rules}:
            found = [*found, "the name is taken"]
        faults += [SuiteFault(number, str(entry.meta.get("rule", entry.type)), problem) for problem in found]
        rules += [rule] if rule is not None and not found else []
    return Suite(file.name, path.as_posix(), tuple(rules)), faults


def _rule(entry: _Entry, parameters: dict[str, Any]) -> tuple[Rule | None, list[str]]:
    if entry.type not in KWARGS:
        return None, [f"unknown type '{entry.type}', expected one of {', '.join(KWARGS)}"]
    kwargs, faults = {}, []
    for key, value in entry.kwargs.items():
        name = value.get("$PARAMETER") if isinstance(value, dict) else None
        if name is not None and name not in parameters:
            faults.append(f"unknown parameter '{name}', expected one of {', '.join(parameters)}")
        kwargs[key] = parameters.get(name, []) if name is not None else value
    try:
        meta = _Meta.model_validate(entry.meta)
        if not faults:
            kwargs = KWARGS[entry.type].model_validate(kwargs).model_dump(exclude_none=True)
    except pydantic.ValidationError as error:
        return None, [*faults, *_faults(error)]
    languages = tuple(meta.languages or ())
    rule = Rule(meta.rule, meta.severity, meta.reason, entry.type, kwargs, meta.learnt_from, languages)
    if rule.languages and not rule.judges_rows:
        faults.append("judges the whole table, which has no language: leave languages out")
    if rule.severity == "quarantine" and not rule.judges_rows:
        faults.append("judges the whole table, so its severity is stop or warn")
    if entry.severity not in (None, SEVERITIES[rule.severity]):
        faults.append(f"severity {entry.severity} contradicts meta's {rule.severity}; leave the former out")
    if not faults and rule.column.startswith(MATCHES):
        faults += _pattern_faults(rule.column.removeprefix(MATCHES))
    return rule, faults


def _pattern_faults(pattern: str) -> list[str]:
    import pyarrow
    import pyarrow.compute

    try:
        pyarrow.compute.match_substring_regex(pyarrow.array([""]), pattern)
    except pyarrow.ArrowInvalid as error:
        return [f"the pattern is no regular expression of RE2: {error}"]
    return []


def _faults(error: pydantic.ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(part) for part in fault['loc']) or 'kwargs'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    ]


def _plain(value: float) -> str:
    return f"{value:,.10g}"
