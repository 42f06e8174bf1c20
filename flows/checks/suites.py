"""The suites of data/suites: files that do not hold, rules that no row can pass, rules that the task contradicts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from flows.checks.finding import Finding, error, raised, unknown, warning
from flows.checks.project import Project
from ratchet.errors import ParamsError

CORPUS, SPLITS, LOG = ("labels", "corpus"), ("splits",), ("production_log",)
LABEL_COLUMNS = {"label", "predicted"}
"""Columns whose values are classes."""
SHARES = ("_rate", "_distance", "confidence")
"""Ends of the names of columns that never hold more than 1."""
RAREST = {"rarest_class_rate", "rarest_test_class_rate"}
"""Figures of the rarest class, which no more than an equal share can be."""
Ruled = tuple[Any, object]
"""A rule, and where it stands."""


def check_suites(project: Project) -> list[Finding]:
    """Every fault of every suite; suites of one table are taken together."""
    found: list[Finding] = []
    for table in (CORPUS, SPLITS, LOG):
        rules: list[Ruled] = []
        for name in table:
            rules += _read(project, f"data/suites/{name}.json", found)
        if not rules:
            continue
        columns, figures = _columns(project, table), _figures(table)
        for rule, where in rules:
            found += _unknown_column(rule, where, columns if rule.judges_rows else figures)
            found += _impossible(project, rule, where) + _classes(project, rule, where)
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


def _columns(project: Project, table: tuple[str, ...]) -> list[str]:
    """The columns of the measured table, a row a text."""
    from ratchet.data.rules import corpus_measures, measures
    from ratchet.prediction_log import rules as log

    if table == SPLITS:
        return []
    if table == LOG:
        return _names([*measures.MEASURES, *log.MEASURES])
    own = project.task.metadata_columns if project.task else []
    return _names([*measures.MEASURES, *corpus_measures.MEASURES, *own])


def _figures(table: tuple[str, ...]) -> list[str]:
    """The figures of the table as a whole."""
    from ratchet.data.rules import corpus_figures, split_measures
    from ratchet.prediction_log import rules as log

    of = {CORPUS: corpus_figures.FIGURES, SPLITS: split_measures.FIGURES, LOG: log.FIGURES}
    return _names(of[table])


def _names(listed: Iterable[str]) -> list[str]:
    return [name for names in listed for name in names.split(", ")]


def _unknown_column(rule: Any, where: object, columns: list[str]) -> list[Finding]:
    from ratchet.data.rules.suites import MATCHES

    if rule.column in columns or (rule.judges_rows and rule.column.startswith(MATCHES)):
        return []
    what = f"The rule '{rule.name}' looks at a column that is not measured."
    fix = "name a column of this table; ratchet/data/rules lists them, figures of the whole table apart from rows"
    return [unknown(what, where, rule.column, columns, fix)]


def _impossible(project: Project, rule: Any, where: object) -> list[Finding]:
    """A rule that no data can pass, whatever they are."""
    from ratchet.data.rules.suites import MATCHES

    low, high = rule.kwargs.get("min_value", -math.inf), rule.kwargs.get("max_value", math.inf)
    n_classes = len(project.classes)
    problem = ""
    if high < 0:
        problem = f"{rule.column} is never below 0"
    elif rule.column.startswith(MATCHES):
        everywhere = high < 1 and _matches_all(rule.column.removeprefix(MATCHES))
        problem = "the pattern is found in the empty text, and so in every text" if everywhere else ""
    elif rule.column in RAREST and low * n_classes > 1:
        problem = f"{n_classes} rates of at least {low:g} each add up to more than 1"
    elif rule.column.endswith(SHARES) and low > 1:
        problem = f"{rule.column} is never above 1"
    if not problem:
        return []
    what = f"No data can pass the rule '{rule.name}': {problem}."
    return [error(what, where, got=rule.expected, expected="a bound that data can keep", fix="correct the bound")]


def _matches_all(pattern: str) -> bool:
    import pyarrow
    import pyarrow.compute

    return bool(pyarrow.compute.match_substring_regex(pyarrow.array([""]), pattern)[0].as_py())


def _classes(project: Project, rule: Any, where: object) -> list[Finding]:
    """Rules about classes hold those of the task; rules about languages its languages."""
    if rule.type != "expect_column_values_to_be_in_set" or project.task is None:
        return []
    values = rule.kwargs["value_set"]
    if rule.column == "language":
        if missing := [name for name in project.task.languages if name not in values]:
            what = f"The rule '{rule.name}' flags texts in a language of the task."
            return [_lacks(warning, what, where, values, missing, "task.languages")]
        return []
    if rule.column in LABEL_COLUMNS and (missing := [name for name in project.classes if name not in values]):
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
        if rule.type != "expect_column_values_to_be_between" or rule.severity == "warn":
            continue
        low, high = rule.kwargs.get("min_value", -math.inf), rule.kwargs.get("max_value", math.inf)
        for other, other_where, other_low, other_high in bounds.get(rule.column, []):
            apart = rule.languages and other.languages and not {*rule.languages} & {*other.languages}
            if max(low, other_low) > min(high, other_high) and not apart:
                found.append(
                    error(
                        f"No row can pass both '{other.name}' and '{rule.name}'.",
                        where,
                        got=f"{rule.expected}; {other.expected} ({other_where})",
                        expected="bounds that leave something between them",
                        fix="correct one of the bounds",
                    )
                )
        bounds.setdefault(rule.column, []).append((rule, where, low, high))
    return found
