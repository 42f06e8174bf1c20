"""The judge: Great Expectations on measured tables. Its results are the verdicts, its unexpected rows the broken ones.

Rows are judged in batches, and the results of the batches are added up, so that memory does not grow with the rows but
for the positions of the broken ones. What describes the whole table is judged on one row of figures. Measured tables
hold no text, so none gets into the results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.expectations import ROWS, TABLE, Expectations, added, pop_rows
from ratchet.data.rules.suites import Rule, Suite
from ratchet.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 200_000
"""Rows that are judged at once; a run over a batch costs half a second whatever its size."""
COLUMNS = "column"
"""The figure of a table that lists its columns with their types: `name: type`."""
_NO_ROWS = np.zeros(0, dtype=np.int64)


class Outcome(NamedTuple):
    """A rule as it was found. One that was skipped is kept, observes NaN, and its words say why."""

    rule: Rule
    success: bool
    observed: float
    """Rows that break it, or the figure of the whole table; NaN: there is none."""
    words: str
    rows: NDArray[np.int64]
    """Positions, ascending, of the rows that break it; empty for a rule about the whole table."""
    skipped: bool = False
    result: Any = None
    """Great Expectations' own result, that of all batches added up, without rows; None where it was skipped."""


class RowJudge:
    """Judges the rows of a measured table, a batch at a time, by the rules about rows."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._expectations = Expectations("rows", rules) if rules else None
        self._n_rows = 0
        self._broken: dict[str, list[NDArray[np.int64]]] = {rule.name: [] for rule in rules}
        self._results: dict[str, Any] = {}

    def judge(self, frame: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
        """Rule → positions in the batch, ascending, of the rows that break it.

        Raises:
            ValidationError: a rule looks at a column that is not measured, or could not be evaluated.
        """
        require_columns(self._rules, frame.columns)
        frame = frame.reset_index(drop=True)  # whose labels are what comes back as positions
        results = self._expectations.validate(frame, ROWS) if self._expectations else {}
        broken = {name: np.array(pop_rows(item), dtype=np.int64) for name, item in results.items()}
        for name, rows in broken.items():
            self._broken[name].append(rows + self._n_rows)
            self._results[name] = added(self._results.get(name), results[name])
        self._n_rows += len(frame)
        return broken

    def outcomes(self) -> list[Outcome]:
        """The outcome of each rule on all rows so far."""
        found = []
        for rule in self._rules:
            rows = np.concatenate([_NO_ROWS, *self._broken[rule.name]])
            result = self._results.get(rule.name)
            words = _rows_in_words(len(rows), self._n_rows)
            found.append(
                Outcome(rule, result is None or bool(result.success), float(len(rows)), words, rows, result=result)
            )
        return found


def judge_table(
    rules: Sequence[Rule],
    figures: Mapping[str, float],
    columns: Sequence[str],
    said_of: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """The outcome of each rule about the whole table.

    Args:
        rules: those that do not judge rows.
        figures: the one row that describes the table; NaN where a figure is undefined, which keeps no rule.
        columns: the table's columns with their types, `name: type`.
        said_of: figure → what it is the figure of, such as the rarest class.

    Raises:
        ValidationError: a rule looks at a figure that is not measured, or could not be evaluated.
    """
    import pandas as pd

    require_columns(rules, [*figures, COLUMNS])
    frames = {
        "table": pd.DataFrame({name: [float(value)] for name, value in figures.items()}),
        "columns": pd.DataFrame({COLUMNS: pd.Series([*columns], dtype="object")}),
    }
    results: dict[str, Any] = {}
    for name, frame in frames.items():
        if asked := [rule for rule in rules if (rule.column == COLUMNS) == (name == "columns")]:
            results |= Expectations(name, asked).validate(frame, TABLE)
    return [_table_outcome(rule, results[rule.name], (said_of or {}).get(rule.column, "")) for rule in rules]


def skip(rule: Rule, why: str) -> Outcome:
    """The outcome of a rule that is not judged."""
    return Outcome(rule, True, math.nan, why, _NO_ROWS, True)


def in_order(suites: Sequence[Suite], outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes in the order of the suites."""
    found = {item.rule.name: item for item in outcomes}
    return [found[rule.name] for suite in suites for rule in suite.rules]


def stopped(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those of the stop rules that are broken."""
    return [item for item in outcomes if item.rule.severity == "stop" and not item.success]


def rules_found(outcomes: Sequence[Outcome], suites: Sequence[Suite]) -> dict[str, dict[str, Any]]:
    """Rule → what reports tell of it; `kept` is None for a rule that was skipped."""
    suite_of = {rule.name: suite.name for suite in suites for rule in suite.rules}
    return {
        item.rule.name: {
            "suite": suite_of[item.rule.name],
            "severity": item.rule.severity,
            "kept": None if item.skipped else item.success,
            "observed": item.observed,
            "found": item.words,
            "expected": item.rule.expected,
            "meaning": item.rule.reason,
            **({"learnt_from": item.rule.learnt_from} if item.rule.learnt_from else {}),
        }
        for item in outcomes
    }


def require_columns(rules: Iterable[Rule], measured: Iterable[str]) -> None:
    """Nothing, if every rule looks at a measured column.

    Raises:
        ValidationError: one does not.
    """
    known = sorted(measured)
    for rule in rules:
        if rule.column not in known:
            raise ValidationError(
                f"The rule '{rule.name}' looks at a column that is not measured.",
                where=f"column '{rule.column}'",
                expected=f"one of {', '.join(known)}",
                fix="correct the rule in its suite",
            )


def _rows_in_words(n_broken: int, n_rows: int) -> str:
    share = f" ({100 * n_broken / n_rows:.3g} %)" if n_broken else ""
    return f"{n_broken:,} of {n_rows:,} break it{share}"


def _table_outcome(rule: Rule, item: Any, said_of: str) -> Outcome:
    if rule.column == COLUMNS:
        missing = item.result.get("partial_missing_list") or []
        words = f"missing: {', '.join(map(str, missing))}" if missing else "all there"
        return Outcome(rule, bool(item.success), float(len(missing)), words, _NO_ROWS, result=item)
    value = item.result["observed_value"]
    figure = math.nan if value is None else float(value)
    words = "undefined" if figure != figure else f"{figure:,.6g}" if figure % 1 else f"{figure:,.0f}"
    words = f"{words} ({said_of})" if said_of else words
    return Outcome(rule, bool(item.success), figure, words, _NO_ROWS, result=item)
