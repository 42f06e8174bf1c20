"""The suites of data/suites: files that do not hold, rules that no row can pass, rules that the task contradicts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from flows.checks.finding import Finding, error, raised, unknown, warning
from flows.checks.project import Project
from ratchet.errors import ParamsError

CORPUS, SPLITS, LOG = ("labels", "corpus"), ("splits",), ("production_log",)
LABEL_MEASURES = {"label", "kept_label", "test_label", "predicted"}
"""Measures whose values are classes."""
RATES = {"quarantined", "passed", "unlabelled", "excluded", "confidence"}
"""Measures of which no row has more than 1."""
Ruled = tuple[Any, object]
"""A rule, and where it stands."""


def check_suites(project: Project) -> list[Finding]:
    """Every fault of every suite; suites of one table are taken together."""
    found: list[Finding] = []
    for table in (CORPUS, SPLITS, LOG):
        rules: list[Ruled] = []
        for name in table:
            rules += _read(project, f"data/suites/{name}.yaml", found)
        if not rules:
            continue
        measures = _measures(table)
        for rule, where in rules:
            found += _unknown_measure(rule, where, measures) + _impossible(rule, where) + _classes(project, rule, where)
        found += _contradictions(rules)
    return found


def _read(project: Project, file: str, found: list[Finding]) -> list[Ruled]:
    """The rules of a file that hold, each with its place; the faults of the others are added to what was found."""
    if not (project.root / file).is_file():  # a stage that reads it has it among its deps, and the wiring is checked
        return []
    from ratchet.data.rules.suites import suite_with_faults

    try:
        suite, faults = suite_with_faults(project.root / file, {"labels": project.classes or ["?", "??"]})
    except ParamsError as problem:
        found.append(raised(problem, file))
        return []
    for fault in faults:
        keys = ("expectations", fault.number - 1, "kwargs") if fault.number else ()
        kinds = "what each kind takes stands in ratchet/data/rules/suites.py"
        what = f"The rule '{fault.rule}' does not hold." if fault.number else "The suite does not hold."
        found.append(
            error(
                what,
                project.at(file, *keys),
                got=fault.problem,
                expected="type, kwargs in order, and meta with rule, severity and reason",
                fix=f"correct it; {kinds}",
            )
        )
    if suite is None:
        return []
    faulty = {fault.number for fault in faults}
    total = len(suite.rules) + len(faulty - {0})
    numbers = [number for number in range(1, total + 1) if number not in faulty]
    return [
        (rule, project.at(file, "expectations", number - 1, "kwargs"))
        for number, rule in zip(numbers, suite.rules, strict=True)
    ]


def _measures(table: tuple[str, ...]) -> list[str]:
    from ratchet.data.rules import corpus_measures, measures, split_measures
    from ratchet.prediction_log import rules as log

    if table == CORPUS:
        named: Iterable[str] = [*measures.MEASURES, *corpus_measures.MEASURES]
    elif table == SPLITS:
        named = split_measures.MEASURES
    else:
        named = [*measures.MEASURES, *log.MEASURES, *(f"missing_{column}" for column in log.COLUMNS)]
    return [name for names in named for name in names.split(", ") if name != "..."]


def _unknown_measure(rule: Any, where: object, measures: list[str]) -> list[Finding]:
    if "pattern" in rule.kwargs or rule.measure in measures:
        return []
    fix = "name a measure of this table; ratchet/data/rules lists them"
    return [
        unknown(f"The rule '{rule.name}' looks at a measure that nobody takes.", where, rule.measure, measures, fix)
    ]


def _impossible(rule: Any, where: object) -> list[Finding]:
    """A rule that no data can pass, whatever they are."""
    low, high = rule.kwargs.get("min_value", -math.inf), rule.kwargs.get("max_value", math.inf)
    problem = ""
    if "pattern" in rule.kwargs:
        problem = "the pattern is found in the empty text, and so in every text" if _matches_all(rule) else ""
    elif rule.type == "expect_rates_to_be_between":
        n = len(rule.kwargs["value_set"])
        if low * n > 1:
            problem = f"{n} rates of at least {low:g} each add up to more than 1"
        elif high < 0:
            problem = f"no rate is at most {high:g}"
    elif high < 0 and rule.type != "expect_measure_to_be_in_set":
        problem = f"{rule.measure} is never below 0"
    elif rule.measure in RATES and rule.type != "expect_total_to_be_between" and low > 1:
        problem = f"{rule.measure} is never above 1"
    if not problem:
        return []
    what = f"No row can pass the rule '{rule.name}': {problem}."
    return [error(what, where, got=rule.expected, expected="a bound that data can keep", fix="correct the bound")]


def _matches_all(rule: Any) -> bool:
    import pyarrow
    import pyarrow.compute

    return bool(pyarrow.compute.match_substring_regex(pyarrow.array([""]), rule.kwargs["pattern"])[0].as_py())


def _classes(project: Project, rule: Any, where: object) -> list[Finding]:
    """Rules about classes hold those of the task; rules about languages its languages."""
    values = rule.kwargs.get("value_set")
    if values is None or project.task is None:
        return []
    if rule.measure == "language":
        if missing := [name for name in project.task.languages if name not in values]:
            what = f"The rule '{rule.name}' flags texts in a language of the task."
            return [_lacks(warning, what, where, values, missing, "task.languages")]
        return []
    if rule.measure not in LABEL_MEASURES:
        return []
    strangers = [name for name in values if name not in project.classes]
    fix = "write value_set: {$PARAMETER: labels}, which are the classes of params.yaml"
    if strangers and not rule.judges_rows:
        what = f"The rule '{rule.name}' asks for a class that the task has not."
        return [unknown(what, where, name, project.classes, fix) for name in strangers]
    if rule.judges_rows and (missing := [name for name in project.classes if name not in values]):
        what = f"No row of {', '.join(missing)} can pass the rule '{rule.name}'."
        return [_lacks(warning if rule.severity == "warn" else error, what, where, values, missing, "task.classes")]
    return []


def _lacks(kind: Any, what: str, where: object, values: list[str], missing: list[str], key: str) -> Finding:
    found: Finding = kind(
        what,
        where,
        got=", ".join(values),
        expected=f"{', '.join(missing)} too, of {key}",
        fix=f"add it to value_set, or take it out of {key}",
    )
    return found


def _contradictions(rules: list[Ruled]) -> list[Finding]:
    """Pairs of rules about rows of one table that hold each by itself and never together; rules that warn may."""
    found: list[Finding] = []
    bounds: dict[str, list[tuple[Any, object, float, float]]] = {}
    for rule, where in rules:
        if rule.type != "expect_measure_to_be_between" or rule.severity == "warn":
            continue
        low, high = rule.kwargs.get("min_value", -math.inf), rule.kwargs.get("max_value", math.inf)
        for other, other_where, other_low, other_high in bounds.get(rule.measure, []):
            if max(low, other_low) > min(high, other_high):
                found.append(
                    error(
                        f"No row can pass both '{other.name}' and '{rule.name}'.",
                        where,
                        got=f"{rule.expected}; {other.expected} ({other_where})",
                        expected="bounds that leave something between them",
                        fix="correct one of the bounds",
                    )
                )
        bounds.setdefault(rule.measure, []).append((rule, where, low, high))
    return found
