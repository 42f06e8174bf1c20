"""Rules as a suite of Great Expectations, and its results in batches.

Source: Great Expectations 1, https://docs.greatexpectations.io/docs/core/. Unexpected rows are asked for by their
position (`COMPLETE`), never by index columns, which take ten times as long. The results are not kept in a store, which
would hold every position again, as JSON.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ratchet.data.rules.suites import SEVERITIES, Rule
from ratchet.errors import ValidationError

if TYPE_CHECKING:
    import pandas as pd

ROWS = {"result_format": "COMPLETE", "return_unexpected_index_query": False, "partial_unexpected_count": 0}
"""What is asked of rules about rows: the positions of all unexpected ones."""
TABLE = {"result_format": "SUMMARY"}
"""What is asked of rules about one row of figures."""
IRI_GRAMMAR = "rfc3987_syntax"
"""Compiled by jsonschema, where it is installed, when it is imported: 2 of the 5.7 CPU-seconds that the import of Great
Expectations takes. It checks the format `iri`, which nothing here asks for."""
_COUNTS = ("element_count", "unexpected_count", "missing_count")


class Expectations:
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


def pop_rows(item: Any) -> list[int]:
    """The positions of the unexpected rows, taken out of the result together with their values."""
    for name in ("unexpected_list", "partial_unexpected_list", "partial_unexpected_index_list"):
        item.result.pop(name, None)
    rows: list[int] = item.result.pop("unexpected_index_list", [])
    return rows


def added(total: Any, item: Any) -> Any:
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


def great_expectations() -> ModuleType:
    """The library, imported with its analytics off and the deprecation warnings of its own imports held back."""
    os.environ["GX_ANALYTICS_ENABLED"] = "False"
    with warnings.catch_warnings(), _unimportable(IRI_GRAMMAR):
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations
        import great_expectations.expectations
    module: ModuleType = great_expectations
    return module


@contextmanager
def _unimportable(name: str) -> Iterator[None]:
    """Hide an optional dependency from what is imported meanwhile, unless it is there already."""
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


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
    kwargs = rule.kwargs
    if rule.languages:
        great_expectations()
        from great_expectations.expectations.row_conditions import Column

        kwargs = {**kwargs, "row_condition": Column("language").is_in([*rule.languages])}
    return {"type": rule.type, "kwargs": kwargs, "meta": meta, "severity": SEVERITIES[rule.severity]}
