"""The verdict of Great Expectations on the measures of a table, and its results for Data Docs.

Source: Great Expectations 1, https://docs.greatexpectations.io/docs/core/. Rows are measured batch by batch; what
Great Expectations gets are the tallies of the measures, so that it judges five million rows as quickly as five, and no
text gets into its results. Its verdict must be the one of `judge_suites`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ratchet.data.rules.suites import Rule, Suite
from ratchet.data.rules.tallies import ACCEPTED, Tally
from ratchet.data.rules.verdicts import Outcome
from ratchet.errors import ValidationError

SEVERITIES = {"stop": "critical", "quarantine": "warning", "warn": "info"}
"""Our severities in Great Expectations' words."""


def check(
    suites: Sequence[Suite],
    outcomes: Sequence[Outcome],
    tallies: Mapping[str, Tally],
    accepted: Mapping[str, Tally] | None = None,
) -> list[Any]:
    """Great Expectations' own results, one a suite, after a comparison with the outcomes.

    Args:
        suites: the rules.
        outcomes: theirs, from `judge_suites`; the skipped ones are skipped here too.
        tallies: measure → its tally.
        accepted: tallies of the data that was accepted last.

    Raises:
        ValidationError: a rule could not be evaluated, which is not the same as being kept; or the verdicts differ.
    """
    frame = tally_table({**tallies, **{ACCEPTED + name: counts for name, counts in (accepted or {}).items()}})
    active = {item.rule.name: item for item in outcomes if not item.skipped}
    results = []
    for suite in suites:
        rules = [rule for rule in suite.rules if rule.name in active]
        if not rules:
            continue
        result = _validate(frame, suite.name, rules)
        for item in result.results:
            _compare(active[item.expectation_config.meta["rule"]], item, suite)
        results.append(result)
    return results


def tally_table(tallies: Mapping[str, Tally]) -> Any:
    """The tallies as a frame: `measure`, `value`, `n_rows`, a row for each value that occurs."""
    import pandas as pd

    rows = [(name, value, n) for name, counts in tallies.items() for value, n in counts.items()]
    return pd.DataFrame(
        {
            "measure": [row[0] for row in rows],
            "value": pd.Series([row[1] for row in rows], dtype="object"),
            "n_rows": np.array([row[2] for row in rows], dtype=np.int64),
        }
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


def _validate(frame: Any, name: str, rules: Sequence[Rule]) -> Any:
    gx = great_expectations()
    from ratchet.data.rules import gx_expectations

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("ratchet").add_dataframe_asset(name)
    expectations = []
    for rule in rules:
        kind = getattr(gx_expectations, "".join(part.title() for part in rule.type.split("_")))
        meta = {"rule": rule.name, "severity": rule.severity, "reason": rule.reason}
        expectations.append(kind(**rule.kwargs, severity=SEVERITIES[rule.severity], meta=meta))
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    definition = gx.ValidationDefinition(name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite)
    return context.validation_definitions.add(definition).run(batch_parameters={"dataframe": frame})


def _compare(outcome: Outcome, item: Any, suite: Suite) -> None:
    rule = outcome.rule
    if "'raised_exception': True" in str(item.exception_info):
        raise ValidationError(
            f"The rule '{rule.name}' could not be checked.",
            where=suite.path,
            got=item.exception_info,
            fix="correct the rule in its suite",
        )
    figure = float(item.result["details"]["figure"])
    same = bool(item.success) == outcome.success and (figure == outcome.observed or figure != figure)
    if not same or (rule.judges_rows and figure != len(outcome.rows)):
        raise ValidationError(
            f"Great Expectations and the search for rows disagree on the rule '{rule.name}'.",
            where=suite.path,
            got=f"{outcome.words}; {len(outcome.rows)} rows found",
            expected=str(item.result["observed_value"]),
        )
