"""Rules as people edit them: suites in Great Expectations' own form (`type`, `kwargs`, `meta`), read strictly.

`meta` holds the rule's name, its severity and the reason in words. *stop* ends the pipeline, *quarantine* sets the row
aside, *warn* only counts and reports. A value `{$PARAMETER: name}` is filled in from the params of the step, which is
Great Expectations' own notation for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import Field, model_validator

from ratchet.errors import ParamsError
from ratchet.params import Params, read_yaml

Severity = Literal["stop", "quarantine", "warn"]


class _Meta(Params):
    rule: str = Field(pattern="^[a-z][a-z0-9_]*$")
    severity: Severity
    reason: str = Field(min_length=1)


class _Entry(Params):
    type: str
    kwargs: dict[str, Any]
    meta: dict[str, Any]


class _File(Params):
    name: str = Field(min_length=1)
    expectations: list[_Entry] = Field(min_length=1)


class _Bounds(Params):
    min_value: float | None = None
    max_value: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.min_value is None and self.max_value is None:
            raise ValueError("min_value or max_value is needed")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError(f"min_value {self.min_value:g} is above max_value {self.max_value:g}")
        return self


class _MeasureBetween(_Bounds):
    measure: str


class _MeasureInSet(Params):
    measure: str
    value_set: list[str] = Field(min_length=1)


class _NoMatch(Params):
    pattern: str = Field(min_length=1)


class _RatesBetween(_Bounds):
    measure: str
    value_set: list[str] = Field(min_length=1)


class _Distance(Params):
    measure: str
    max_value: float = Field(ge=0, le=1)


KWARGS: dict[str, type[Params]] = {
    "expect_measure_to_be_between": _MeasureBetween,
    "expect_measure_to_be_in_set": _MeasureInSet,
    "expect_texts_not_to_match": _NoMatch,
    "expect_total_to_be_between": _MeasureBetween,
    "expect_mean_to_be_between": _MeasureBetween,
    "expect_rates_to_be_between": _RatesBetween,
    "expect_values_to_contain": _MeasureInSet,
    "expect_distance_from_accepted_to_be_at_most": _Distance,
}
"""What each kind of expectation takes. The classes themselves stand in `ratchet.data.rules.gx_expectations`."""
ROW_TYPES = ("expect_measure_to_be_between", "expect_measure_to_be_in_set", "expect_texts_not_to_match")
"""The kinds that judge each row; the others judge the whole table."""


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite."""

    name: str
    severity: Severity
    reason: str
    type: str
    kwargs: dict[str, Any]

    @property
    def judges_rows(self) -> bool:
        """Whether it judges each row, not the table as a whole."""
        return self.type in ROW_TYPES

    @property
    def measure(self) -> str:
        """The measure it looks at; for a pattern, the number of its matches."""
        return str(self.kwargs["measure"]) if "measure" in self.kwargs else match_measure(self.kwargs["pattern"])

    @property
    def expected(self) -> str:
        """The values the rule allows, in words.

        >>> Rule("short", "warn", "too short", "expect_mean_to_be_between", {"measure": "n", "min_value": 3}).expected
        'mean of n at least 3'
        """
        kwargs, bounds = self.kwargs, bounds_text(self.kwargs)
        words = {
            "expect_measure_to_be_between": f"{self.measure} {bounds}",
            "expect_measure_to_be_in_set": f"{self.measure} one of {', '.join(kwargs.get('value_set', []))}",
            "expect_texts_not_to_match": f"no match of {kwargs.get('pattern')}",
            "expect_total_to_be_between": f"total of {self.measure} {bounds}",
            "expect_mean_to_be_between": f"mean of {self.measure} {bounds}",
            "expect_rates_to_be_between": f"rate of each {self.measure} {bounds}",
            "expect_values_to_contain": f"{self.measure} has {', '.join(kwargs.get('value_set', []))}",
            "expect_distance_from_accepted_to_be_at_most": f"distance of {self.measure} from accepted data {bounds}",
        }
        return words[self.type]


@dataclass(frozen=True)
class Suite:
    """The rules of one table, in the order in which a quarantined row is given its reason."""

    name: str
    path: str
    rules: tuple[Rule, ...]


def match_measure(pattern: str) -> str:
    """The name of the measure that counts a pattern's matches."""
    return f"matches of {pattern}"


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
    """The suite a YAML (or JSON) file holds, every fault in it named in one message.

    Args:
        path: the file.
        parameters: what `{$PARAMETER: name}` stands for.

    Raises:
        ParamsError: the file is missing or no YAML, a kind of expectation, a key or a parameter is not known, a bound
            is missing or out of order, a rule's name repeats, or a rule about the whole table is to quarantine rows.
    """
    suite, faults = suite_with_faults(path, parameters)
    if suite is None or faults:
        raise _error(path, [str(fault) for fault in faults])
    return suite


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
        ParamsError: the file is missing or no YAML.
    """
    try:
        file = _File.model_validate(read_yaml(path))
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
    rule = Rule(meta.rule, meta.severity, meta.reason, entry.type, kwargs)
    if rule.severity == "quarantine" and not rule.judges_rows:
        faults.append("judges the whole table, so its severity is stop or warn")
    if entry.type == "expect_texts_not_to_match" and not faults:
        faults += _pattern_faults(kwargs["pattern"])
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


def _error(path: Path, faults: list[str]) -> ParamsError:
    return ParamsError(
        "The suite does not hold what a suite must.",
        where=path,
        got="; ".join(faults),
        expected="name, and expectations with type, kwargs and meta (rule, severity: stop, quarantine or warn, reason)",
        fix="correct the file; the kinds of expectation and what they take stand in ratchet/data/rules/suites.py",
    )


def _plain(value: float) -> str:
    return f"{value:,.10g}"
