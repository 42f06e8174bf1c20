"""The judge: Great Expectations on measured tables. Its results are the verdicts, its unexpected rows the broken ones.

Source: Great Expectations 1, https://docs.greatexpectations.io/docs/core/. Rows are judged in batches by one suite, and
the results of the batches are added up, so that memory does not grow with the rows. What describes the whole table is
judged on one row of figures. Measured tables hold no text, so none gets into the results.

Unexpected rows are asked for by their position (`COMPLETE`), never by index columns, which take ten times as long; the
results are not kept in a store, which would hold every position again, as JSON.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.suites import SEVERITIES, Rule, Suite
from ratchet.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 200_000
"""Rows that are judged at once; a run over a batch costs half a second whatever its size."""
COLUMNS = "column"
"""The figure of a table that lists its columns with their types: `name: type`."""
_ROWS = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": 0}
_TABLE = {"result_format": "SUMMARY"}
_COUNTS = ("element_count", "unexpected_count", "missing_count")
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


class _Expectations:
    """Rules as one suite of Great Expectations, to be validated against any number of frames."""

    def __init__(self, name: str, rules: Sequence[Rule]) -> None:
        gx = great_expectations()
        self._names = [rule.name for rule in rules]
        self._suite = gx.ExpectationSuite(name=name, expectations=[*map(_expectation, rules)])

    def validate(self, frame: pd.DataFrame, result_format: dict[str, Any]) -> dict[str, Any]:
        """Rule → Great Expectations' result.

        Raises:
            ValidationError: a rule could not be evaluated, which is not the same as being kept.
        """
        batch = _frames().get_batch({"dataframe": frame})
        found = batch.validate(self._suite, result_format=result_format).results
        for item in found:
            if "'raised_exception': True" in str(item.exception_info):
                raise ValidationError(
                    f"The rule '{item.expectation_config.meta['rule']}' could not be judged.",
                    where=f"column '{item.expectation_config.kwargs.get('column')}'",
                    got=item.exception_info,
                    fix="correct the rule in its suite",
                )
        by_rule = {item.expectation_config.meta["rule"]: item for item in found}
        return {name: by_rule[name] for name in self._names}


class RowJudge:
    """Judges the rows of a measured table, a batch at a time, by the rules about rows."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._expectations = _Expectations("rows", rules) if rules else None
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
        results = self._expectations.validate(frame, _ROWS) if self._expectations else {}
        broken = {name: np.array(_pop_rows(item), dtype=np.int64) for name, item in results.items()}
        for name, rows in broken.items():
            self._broken[name].append(rows + self._n_rows)
            self._results[name] = _added(self._results.get(name), results[name])
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
            results |= _Expectations(name, asked).validate(frame, _TABLE)
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


def great_expectations() -> ModuleType:
    """The library, imported with its analytics off and the deprecation warnings of its own imports held back."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations
        import great_expectations.expectations
    module: ModuleType = great_expectations
    return module


@cache
def _frames() -> Any:
    """The batch definition through which Great Expectations is given frames; one context serves the whole process."""
    context = great_expectations().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("ratchet").add_dataframe_asset("measured")
    return asset.add_batch_definition_whole_dataframe("all")


def _expectation(rule: Rule) -> dict[str, Any]:
    meta = {"rule": rule.name, "severity": rule.severity, "reason": rule.reason}
    meta |= {"learnt_from": rule.learnt_from} if rule.learnt_from else {}
    return {"type": rule.type, "kwargs": rule.kwargs, "meta": meta, "severity": SEVERITIES[rule.severity]}


def _pop_rows(item: Any) -> list[int]:
    """The positions of the unexpected rows, taken out of the result together with their values."""
    for name in ("unexpected_list", "partial_unexpected_list", "partial_unexpected_index_list"):
        item.result.pop(name, None)
    rows: list[int] = item.result.pop("unexpected_index_list", [])
    return rows


def _added(total: Any, item: Any) -> Any:
    """The result of all batches so far and one more."""
    if total is None:
        return item
    total.success = total.success and item.success
    counts = {name: total.result.get(name, 0) + item.result.get(name, 0) for name in _COUNTS if name in item.result}
    n_rows, n_broken, n_missing = (counts.get(name, 0) for name in _COUNTS)
    total.result |= counts | {
        name: 100 * n_broken / of if of else 0.0
        for name, of in {
            "unexpected_percent": n_rows - n_missing,
            "unexpected_percent_nonmissing": n_rows - n_missing,
            "unexpected_percent_total": n_rows,
        }.items()
        if name in item.result
    }
    if "missing_percent" in item.result:
        total.result["missing_percent"] = 100 * n_missing / n_rows if n_rows else 0.0
    return total


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
