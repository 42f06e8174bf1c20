"""Gates: which number is held against the bound, that the bound itself passes, and what each verdict says."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal

import pytest

from ratchet.gates.gates import Gate, Verdict, check_gate, check_gates, mark_gate, without_figures
from tests.support.release_reports import gate_at

Against = Literal["absolute", "baseline", "teacher", "champion", "high_water_mark"]
Comparison = Literal["at_least", "at_most"]
Rule = Literal["value", "interval", "harm"]
ACCURACY = {"value": 0.793, "low": 0.774, "high": 0.812, "n": 1706}
BUNDLE: dict[str, Any] = {
    "metrics": {"accuracy": ACCURACY},
    "against": {"teacher": {"size_mb": {"value": 0.2, "low": 0.2, "high": 0.2, "n": 1}, "accuracy": ACCURACY}},
}


def check(
    bound: float,
    comparison: Comparison = "at_least",
    rule: Rule = "value",
    metric: str = "accuracy",
    against: Against = "absolute",
    name: str = "small",
    *,
    there: Collection[str] = ("teacher",),
    bundle: Any = BUNDLE,
    scope: Literal["bundle", "every_slice"] = "bundle",
    when_undefined: Literal["fail", "waive"] = "fail",
) -> Verdict:
    gate = Gate(
        metric=metric,
        scope=scope,
        against=against,
        comparison=comparison,
        bound=bound,
        rule=rule,
        when_undefined=when_undefined,
    )
    return check_gate(gate, name, bundle, there=there)


@pytest.mark.parametrize(
    ("comparison", "rule", "bound", "passed"),
    [
        ("at_least", "value", 0.793, True),
        ("at_least", "value", 0.7931, False),
        ("at_least", "interval", 0.774, True),
        ("at_least", "interval", 0.7741, False),
        ("at_least", "harm", 0.812, True),
        ("at_least", "harm", 0.8121, False),
        ("at_most", "harm", 0.774, True),
        ("at_most", "harm", 0.7739, False),
        ("at_most", "value", 0.793, True),
        ("at_most", "value", 0.7929, False),
        ("at_most", "interval", 0.812, True),
        ("at_most", "interval", 0.8119, False),
    ],
)
def test_value_compares_the_point_interval_the_pessimistic_end_and_harm_the_other(
    comparison: Comparison, rule: Rule, bound: float, passed: bool
) -> None:
    assert check(bound, comparison, rule).passed is passed


def test_verdicts_are_sentences() -> None:
    assert check(0.70).reason == "accuracy is 0.793 [0.774, 0.812], at least 0.7: passed"
    assert check(0.80).reason == "accuracy is 0.793 [0.774, 0.812], not at least 0.8: failed"
    high, low = check(0.80, "at_most", "interval"), check(0.7, "at_least", "interval")
    assert (
        high.reason
        == "accuracy is 0.793 [0.774, 0.812], its high end not at most 0.8 (about 12,569 texts would tell): failed"
    )
    assert low.reason == "accuracy is 0.793 [0.774, 0.812], its low end at least 0.7: passed"
    relative = check(0.25, "at_most", metric="size_mb", against="teacher")
    assert relative.reason == "size_mb divided by the teacher's is 0.200, at most 0.25: passed"
    assert check(0, against="teacher").reason.startswith("accuracy minus the teacher's is 0.793")


@pytest.mark.parametrize("rule", ["value", "interval", "harm"])
@pytest.mark.parametrize("comparison", ["at_least", "at_most"])
def test_nan_fails_whatever_the_gate(rule: Rule, comparison: Comparison) -> None:
    nothing = {"value": None, "low": None, "high": None, "n": 0, "reason": "one class only"}
    verdict = check(0.5, comparison, rule, bundle={"metrics": {"accuracy": nothing}})
    assert not verdict.passed
    assert math.isnan(verdict.value)
    assert verdict.reason == "accuracy is not known (one class only): failed"


@pytest.mark.parametrize(
    ("bound", "shown", "passed", "n_needed"),
    [(0.77, "kept", True, None), (0.78, "open", True, 3645), (0.80, "open", True, 12569), (0.82, "harm", False, None)],
)
def test_harm_refuses_what_is_shown_and_says_what_would_settle_the_rest(
    bound: float, shown: str, passed: bool, n_needed: int | None
) -> None:
    """The interval is 0.019 wide on either side at 1,706 texts: 0.013 away takes (0.019 / 0.013)² times as many."""
    verdict = check(bound, rule="harm")
    assert (verdict.shown, verdict.passed, verdict.n_needed) == (shown, passed, n_needed)
    asks_for_kept = check(bound, rule="interval")
    assert (asks_for_kept.shown, asks_for_kept.passed) == (shown, shown == "kept")
    if shown == "open":
        assert f"not shown to be below {bound:g} (about {n_needed:,} texts would tell): passed" in verdict.reason


def test_what_would_settle_a_bound_does() -> None:
    """At as many texts as the verdict names, the same value's interval lies on one side."""
    n_needed = check(0.78, rule="harm").n_needed
    assert n_needed is not None
    for n, shown in ((n_needed, "kept"), (n_needed // 2, "open")):
        half = 0.019 * math.sqrt(1706 / n)
        figure = {"value": 0.793, "low": 0.793 - half, "high": 0.793 + half, "n": n}
        assert check(0.78, rule="harm", bundle={"metrics": {"accuracy": figure}}).shown == shown


def test_at_the_bound_no_number_of_texts_would_tell() -> None:
    figure = {"value": 0.793, "low": 0.774, "high": 0.812, "n": 1706}
    assert check(0.793, rule="harm", bundle={"metrics": {"accuracy": figure}}).n_needed is None


@pytest.mark.parametrize("n_slices", [1, 30])
def test_of_many_slices_one_beyond_the_bound_by_chance_is_no_shown_harm(n_slices: int) -> None:
    """A slice 2.2 standard errors below the bound: shown where it is the only one, chance where it is one of thirty."""
    low = {"value": 0.60, "low": 0.60 - 0.0891, "high": 0.60 + 0.0891, "n": 120}
    fine = {"value": 0.80, "low": 0.75, "high": 0.85, "n": 250}
    slices = {f"slice={index}": {"accuracy": low if index == 0 else fine} for index in range(n_slices)}
    verdict = check(0.70, rule="harm", bundle={"slices": slices}, scope="every_slice")
    assert verdict.passed is (n_slices > 1)
    assert verdict.shown == ("harm" if n_slices == 1 else "open")
    far = {**slices, "slice=0": {"accuracy": {"value": 0.4, "low": 0.31, "high": 0.49, "n": 120}}}
    assert not check(0.70, rule="harm", bundle={"slices": far}, scope="every_slice").passed


def test_a_gate_on_harm_of_which_no_slice_is_known_is_waived_where_it_says_so() -> None:
    only = {"slices": {"age=old": SLICED["slices"]["age=old"]}}
    verdict = check(0.5, rule="harm", bundle=only, scope="every_slice", when_undefined="waive")
    assert (verdict.passed, verdict.waived) == (True, ["age=old"])
    for bundle, when in ((only, "fail"), ({}, "waive")):
        assert not check(0.5, rule="harm", bundle=bundle, scope="every_slice", when_undefined=when).passed  # type: ignore[arg-type]


def test_a_value_without_an_interval_fails_the_interval_rule_only() -> None:
    bundle = {"metrics": {"accuracy": {"value": 0.9, "low": None, "high": None, "n": 3}}}
    assert check(0.5, bundle=bundle).passed
    assert check(0.5, rule="interval", bundle=bundle).reason == "accuracy is not known (it has no interval): failed"


@pytest.mark.parametrize("comparison", ["at_least", "at_most"])
def test_a_missing_metric_fails(comparison: Comparison) -> None:
    verdict = check(0.5, comparison, metric="acuracy")
    assert not verdict.passed
    assert verdict.reason == "acuracy is not known (no report measures it for this bundle): failed"
    assert not check(0.5, comparison, metric="size_mb", against="baseline").passed


def test_a_champion_that_is_not_there_is_no_obstacle_and_one_that_is_counts() -> None:
    absent = check(0.5, against="champion")
    assert (absent.passed, absent.applies) == (True, False)
    assert absent.reason == "accuracy minus the champion's: not applicable, there is no champion yet"
    assert not check(0.5, against="champion", there={"champion"}).passed
    compared = {"against": {"champion": {"accuracy": ACCURACY}}}
    assert check(0.5, against="champion", there={"champion"}, bundle=compared).passed


@pytest.mark.parametrize(("metric", "itself"), [("accuracy", 0.0), ("size_mb", 1.0)])
def test_a_bundle_differs_from_itself_by_nothing(metric: str, itself: float) -> None:
    assert check(0.0, metric=metric, against="baseline", name="baseline", rule="interval").value == itself


def test_one_failed_gate_fails_the_bundle() -> None:
    good, bad = (Gate.model_validate(gate_at(bound)) for bound in (0.7, 0.9))
    assert check_gates([good], "small", BUNDLE, there=())["passed"]
    both = check_gates([bad, good], "small", BUNDLE, there=())
    assert [gate["passed"] for gate in both["gates"]] == [False, True]
    assert not both["passed"]


def test_a_gate_without_cases_is_not_asked_but_a_figure_that_should_be_there_still_fails() -> None:
    bundle = {**BUNDLE, "without_cases": {"rare": "no test of kind rare", "accuracy": "no texts"}}
    verdict = check(0.5, metric="rare", bundle=bundle)
    assert (verdict.passed, verdict.applies) == (True, False)
    assert verdict.reason == "rare: not asked, no cases: no test of kind rare"
    assert not check(0.5, metric="other", bundle=bundle).passed
    assert not check(0.9, bundle=bundle).passed  # it was measured, whatever another report says
    assert not check(0.5, metric="rare", bundle=bundle, scope="every_slice").passed


SLICED: dict[str, Any] = {
    "slices": {
        "length=short": {"n": 300, "accuracy": {"value": 0.8, "low": 0.76, "high": 0.84, "n": 300}},
        "gender=women": {"n": 60, "accuracy": {"value": 0.7, "low": 0.58, "high": 0.81, "n": 60}},
        "age=old": {"n": 9, "accuracy": {"value": None, "low": None, "high": None, "n": 9, "reason": "9 texts"}},
    },
    "slices_against": {"champion": {"gender=women": {"accuracy": {"value": -0.1, "low": -0.2, "high": 0.0, "n": 60}}}},
    "see": {"accuracy by slice": "reports/audit_details.json"},
}


@pytest.mark.parametrize(
    ("bound", "rule", "when", "passed", "failing", "waived"),
    [
        (0.70, "value", "waive", True, [], ["age=old"]),
        (0.71, "value", "waive", False, ["gender=women"], ["age=old"]),
        (0.81, "value", "waive", False, ["length=short", "gender=women"], ["age=old"]),
        (0.60, "interval", "waive", False, ["gender=women"], ["age=old"]),
        (0.70, "value", "fail", False, ["age=old"], []),
    ],
)
def test_every_slice_must_keep_the_bound(
    bound: float, rule: Rule, when: Literal["fail", "waive"], passed: bool, failing: list[str], waived: list[str]
) -> None:
    verdict = check(bound, rule=rule, bundle=SLICED, scope="every_slice", when_undefined=when)
    assert (verdict.passed, verdict.failing, verdict.waived) == (passed, failing, waived)
    assert (verdict.value, verdict.see) == (0.7, "reports/audit_details.json")
    assert "worst of 3 slices in gender=women" in verdict.reason
    assert "not known of age=old (age=old 9 texts)" in verdict.reason


def test_a_gate_of_which_no_slice_is_known_fails_even_when_it_waives() -> None:
    only = {"slices": {"age=old": SLICED["slices"]["age=old"]}}
    for bundle in (only, {}):
        verdict = check(0.5, bundle=bundle, scope="every_slice", when_undefined="waive")
        assert not verdict.passed
        assert "known of no slice" in verdict.reason


def test_slices_are_compared_with_the_champions_own() -> None:
    verdict = check(-0.05, against="champion", bundle=SLICED, scope="every_slice", there={"champion"})
    assert (verdict.passed, verdict.failing) == (False, ["gender=women"])
    assert check(-0.05, against="teacher", name="teacher", bundle=SLICED, scope="every_slice").value == 0.0


def test_an_unknown_figure_is_waived_only_where_the_gate_says_so_and_then_told() -> None:
    waived = check(0.5, metric="rare", when_undefined="waive")
    assert (waived.passed, waived.waived) == (True, ["rare"])
    assert waived.reason == "rare is not known (no report measures it for this bundle): waived"
    assert not check(0.5, metric="rare").passed


@pytest.mark.parametrize(("value", "passed"), [(0.0, True), (-0.0018, True), (-0.0022, False), (-0.04, False)])
def test_the_loss_against_the_high_water_mark_must_be_shown_to_be_small(value: float, passed: bool) -> None:
    """At 5 % over twenty openings: 2.807 standard errors, here of one point each, above −3 points."""
    figure = {"value": value, "low": value - 0.0195996, "high": value + 0.0195996, "n": 1000}
    bundle = {"against": {"high_water_mark": {"primary": figure}}}
    verdict = check_gate(mark_gate(0.03), "small", bundle, there={"high_water_mark"})
    assert verdict.passed is passed
    assert verdict.reason.startswith("primary minus the high-water mark's is ")


def test_before_the_first_release_there_is_no_high_water_mark_and_without_a_figure_nothing_passes() -> None:
    first = check_gate(mark_gate(0.03), "small", BUNDLE, there={"champion"})
    assert (first.passed, first.applies) == (True, False)
    assert first.reason.endswith("there is no high-water mark yet")
    assert not check_gate(mark_gate(0.03), "small", BUNDLE, there={"high_water_mark"}).passed


def test_where_no_teacher_was_trained_gates_against_it_do_not_apply() -> None:
    verdict = check(-0.1, against="teacher", bundle=SLICED, scope="every_slice", there=())
    assert (verdict.passed, verdict.applies) == (True, False)
    assert verdict.reason.endswith("not applicable, there is no teacher")
    assert not check(-0.1, against="teacher", bundle={"slices_against": {}}, scope="every_slice").passed


@pytest.mark.parametrize(("metric", "passed"), [("accuracy_gap", True), ("ece", False)])
def test_the_harm_of_a_gap_counts_the_longer_half_of_its_interval(metric: str, passed: bool) -> None:
    """The bootstrap of a gap lies above its value, so that its low end shows harm where there is none."""
    figure = {"value": 0.28, "low": 0.26, "high": 0.34, "n": 400}
    bundle = {"metrics": {metric: figure}}
    assert check(0.25, metric=metric, bundle=bundle, comparison="at_most", rule="harm").passed is passed


def test_without_its_figures_a_verdict_says_whether_they_were_known_and_kept_the_bound() -> None:
    def told(value: float | None, passed: bool) -> str:
        verdict = check(5.0, "at_most", metric="latency_p95_ms").to_json()
        kept = without_figures({**verdict, "value": value, "passed": passed})
        assert {"value", "low", "high"}.isdisjoint(kept)
        return str(kept["reason"])

    assert told(3.0, True).endswith("at most 5: passed")
    assert told(9.0, False).endswith("not at most 5: failed")
    assert [told(value, False).endswith("is not known: failed") for value in (None, math.nan)] == [True, True]
