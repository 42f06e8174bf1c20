"""The verdict of each rule on the tallies of what was measured, and the rows that break it.

Every rule is judged here and only here: Great Expectations' classes (`ratchet.data.rules.gx_expectations`) ask the same
function, so that a verdict does not depend on who asks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.suites import Rule, Suite
from ratchet.data.rules.tallies import Measure, Names, Tally, breaks, broken_rows, distance, mean, rates, tally, total
from ratchet.errors import ValidationError

DRIFT = "expect_distance_from_accepted_to_be_at_most"


class Verdict(NamedTuple):
    """Whether a rule is kept, the figure observed (NaN: undefined, so not kept), and that figure in words."""

    kept: bool
    figure: float
    words: str


class Outcome(NamedTuple):
    """A rule as it was found. One that was skipped is kept, observes NaN, and its words say why."""

    rule: Rule
    success: bool
    observed: float
    words: str
    rows: NDArray[np.int64]
    """Positions, ascending, of the rows that break it; empty for a rule about the whole table."""
    skipped: bool = False


def judge(rule: Rule, counts: Tally, accepted: Tally | None = None) -> Verdict:
    """The verdict on the tally of the rule's measure, and, for a rule about drift, that of the accepted data.

    >>> judge(Rule("r", "warn", "", "expect_mean_to_be_between", {"measure": "n", "min_value": 3}), {2: 1, 6: 3})
    Verdict(kept=True, figure=5.0, words='5')
    """
    if rule.judges_rows:
        bad = breaks(rule, list(counts))
        n_broken = sum(n for n, broken in zip(counts.values(), bad, strict=True) if broken)
        n_rows = sum(counts.values())
        share = f" ({100 * n_broken / n_rows:.3g} %)" if n_broken else ""
        return Verdict(not n_broken, float(n_broken), f"{n_broken:,} of {n_rows:,} break it{share}")
    if rule.type == "expect_values_to_contain":
        missing = [name for name in rule.kwargs["value_set"] if not counts.get(name)]
        return Verdict(not missing, float(len(missing)), f"missing: {', '.join(missing)}" if missing else "all there")
    if rule.type == "expect_rates_to_be_between":
        found = rates(counts, rule.kwargs["value_set"])
        figure = (min if "min_value" in rule.kwargs else max)(found.values())
        words = ", ".join(f"{name} {rate:.4g}" for name, rate in found.items())
        return Verdict(all(_within(rule, rate) for rate in found.values()), figure, words)
    if rule.type == DRIFT:
        figure = distance(counts, accepted or {})
        return Verdict(_within(rule, figure), figure, f"distance {figure:.4g}")
    figure = total(counts) if rule.type == "expect_total_to_be_between" else mean(counts)
    return Verdict(_within(rule, figure), figure, f"{figure:,.6g}" if figure % 1 else f"{figure:,.0f}")


def find_broken_rows(
    suites: Sequence[Suite], measures: Mapping[str, Measure], off: Collection[str] = ()
) -> dict[str, NDArray[np.int64]]:
    """Rule → positions, ascending, of the rows that break it, for the rules about rows whose measures are not off.

    Raises:
        ValidationError: a rule looks at a measure that is not taken.
    """
    rules = [rule for suite in suites for rule in suite.rules if rule.judges_rows and rule.measure not in off]
    for rule in rules:
        require(rule, measures)
    return {rule.name: broken_rows(rule, measures[rule.measure]) for rule in rules}


def judge_suites(
    suites: Sequence[Suite],
    tallies: Mapping[str, Tally],
    broken: Mapping[str, NDArray[np.int64]],
    accepted: Mapping[str, Tally] | None = None,
    off: Collection[str] = (),
) -> list[Outcome]:
    """The outcome of every rule, in the suites' order.

    Args:
        suites: the rules.
        tallies: measure → its tally.
        broken: rule → the rows that break it, from `find_broken_rows`.
        accepted: tallies of the data that was accepted last; without them the rules about drift are skipped.
        off: measures that were not taken by choice; their rules are skipped.

    Raises:
        ValidationError: a rule looks at a measure that is not taken.
    """
    nothing = np.zeros(0, dtype=np.int64)
    outcomes = []
    for rule in (rule for suite in suites for rule in suite.rules):
        if why := why_skipped(rule, accepted, off):
            outcomes.append(Outcome(rule, True, math.nan, why, nothing, True))
            continue
        require(rule, tallies)
        found = judge(rule, tallies[rule.measure], (accepted or {}).get(rule.measure))
        outcomes.append(Outcome(rule, *found, broken.get(rule.name, nothing)))
    return outcomes


def why_skipped(rule: Rule, accepted: Mapping[str, Tally] | None, off: Collection[str]) -> str:
    """Why a rule is not judged; empty where it is."""
    if rule.measure in off:
        return "not measured: switched off in the params"
    if rule.type == DRIFT and rule.measure not in (accepted or {}):
        return "not compared: no data has been accepted yet"
    return ""


def require(rule: Rule, measures: Mapping[str, Any]) -> None:
    """Nothing, if the rule's measure is there.

    Raises:
        ValidationError: it is not.
    """
    if rule.measure not in measures:
        raise ValidationError(
            f"The rule '{rule.name}' looks at a measure that is not taken.",
            where=f"measure '{rule.measure}'",
            expected=f"one of {', '.join(sorted(measures))}",
            fix="correct the rule in its suite",
        )


def tallies_of(measures: Mapping[str, Measure]) -> dict[str, Tally]:
    """Measure → its tally."""
    return {name: tally(measure) for name, measure in measures.items()}


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
        }
        for item in outcomes
    }


def value_of(measure: Measure, row: int) -> str:
    """One row's value in words: a name, or a number without needless digits."""
    if isinstance(measure, Names):
        return measure.names[measure.codes[row]] if measure.codes[row] >= 0 else "missing"
    return f"{float(measure[row]):g}"


def _within(rule: Rule, figure: float) -> bool:
    """False for NaN: what could not be measured is not kept."""
    return bool(rule.kwargs.get("min_value", -math.inf) <= figure <= rule.kwargs.get("max_value", math.inf))
