"""Suites as files: what they say is what is judged, and a bad one is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from ratchet.data.rules.expectations import check
from ratchet.data.rules.suites import KWARGS, ROW_TYPES, Rule, Suite, read_suite
from ratchet.data.rules.tallies import broken_rows, distance, encode, join, take, tally
from ratchet.data.rules.verdicts import find_broken_rows, judge, judge_suites, tallies_of
from ratchet.errors import ParamsError, ValidationError

FOLDER = Path(__file__).parents[2] / "data" / "suites"
GOOD: dict[str, Any] = {
    "type": "expect_measure_to_be_between",
    "kwargs": {"measure": "n_words", "min_value": 3},
    "meta": {"rule": "short", "severity": "quarantine", "reason": "too short"},
}


NAMED = {
    **GOOD,
    "type": "expect_measure_to_be_in_set",
    "kwargs": {"measure": "m", "value_set": {"$PARAMETER": "x"}},
}


def _file(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "suite.yaml"
    YAML().dump({"name": "test", "expectations": list(entries)}, path)
    return path


def _changed(part: str, **changes: Any) -> dict[str, Any]:
    return {**GOOD, part: {**GOOD[part], **changes}}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_of_the_repository_can_be_read(path: Path) -> None:
    suite = read_suite(path, {"labels": ["a", "b"]})
    assert suite.name == path.stem
    assert {rule.severity for rule in suite.rules} <= {"stop", "quarantine", "warn"}


def test_a_suite_is_what_the_file_says(tmp_path: Path) -> None:
    (rule,) = read_suite(_file(tmp_path, GOOD), {}).rules
    assert (rule.name, rule.severity, rule.reason) == ("short", "quarantine", "too short")
    assert rule.kwargs == {"measure": "n_words", "min_value": 3}
    assert rule.expected == "n_words at least 3"


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({**GOOD, "type": "expect_nothing"}, ["unknown type 'expect_nothing'", *KWARGS]),
        (_changed("kwargs", maximum=3), ["maximum", "Extra inputs"]),
        ({**GOOD, "kwargs": {"measure": "n_words"}}, ["min_value or max_value is needed"]),
        (_changed("kwargs", max_value=2), ["min_value 3 is above max_value 2"]),
        (_changed("kwargs", min_value="three"), ["min_value", "valid number"]),
        (_changed("meta", severity="fatal"), ["severity", "stop"]),
        (_changed("meta", rule="Too Short"), ["rule"]),
        ({**GOOD, "meta": {"rule": "short"}}, ["severity", "reason"]),
        ({**GOOD, "note": 1}, ["note"]),
        ({**GOOD, "type": "expect_mean_to_be_between"}, ["judges the whole table"]),
        (NAMED, ["unknown parameter 'x'", "labels"]),
        ({**GOOD, "type": "expect_texts_not_to_match", "kwargs": {"pattern": "("}}, ["regular expression of RE2"]),
    ],
)
def test_a_bad_suite_is_one_clear_error(entry: dict[str, Any], parts: list[str], tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        read_suite(_file(tmp_path, entry), {"labels": ["a"]})
    for part in ("suite.yaml", *parts, "what to do"):
        assert part in str(error.value)


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as error:
        read_suite(_file(tmp_path, _changed("kwargs", typo=1), GOOD, GOOD, {**GOOD, "type": "no"}), {})
    for part in ("expectation 1 (short)", "expectation 3 (short): the name is taken", "expectation 4"):
        assert part in str(error.value)


@pytest.mark.parametrize("content", ["", "- a\n", "name: [\n", "name: x\n"])
def test_a_file_that_is_no_suite_is_one_clear_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(content)
    with pytest.raises(ParamsError, match=r"suite\.yaml"):
        read_suite(tmp_path / "suite.yaml", {})
    with pytest.raises(ParamsError, match="missing"):
        read_suite(tmp_path / "other.yaml", {})


def _rules(low: float, high: float) -> list[Rule]:
    bounds = {"min_value": low, "max_value": high}
    kwargs: dict[str, dict[str, Any]] = {
        "expect_measure_to_be_between": {"measure": "n", **bounds},
        "expect_measure_to_be_in_set": {"measure": "name", "value_set": ["a", "b"]},
        "expect_texts_not_to_match": {"pattern": "x"},
        "expect_total_to_be_between": {"measure": "n", **bounds},
        "expect_mean_to_be_between": {"measure": "n", **bounds},
        "expect_rates_to_be_between": {"measure": "name", "value_set": ["a", "b"], "max_value": 0.4},
        "expect_values_to_contain": {"measure": "name", "value_set": ["a", "z"]},
        "expect_distance_from_accepted_to_be_at_most": {"measure": "name", "max_value": 0.2},
    }
    return [Rule(f"rule_{at}", "warn", "", kind, of) for at, (kind, of) in enumerate(kwargs.items())]


def test_great_expectations_agrees_on_random_measures() -> None:
    """`check` raises where its verdict is another; and the verdicts are those of numpy."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        n = rng.integers(0, 50, 500).astype(float)
        n[rng.random(500) < 0.1] = np.nan
        names = rng.choice(np.array(["a", "b", "c", None]), 500, p=[0.4, 0.3, 0.2, 0.1]).tolist()
        measures: dict[str, Any] = {"n": n, "name": encode(names), "matches of x": rng.integers(0, 2, 500)}
        rules = _rules(5, 40)
        assert [rule.type for rule in rules] == [*KWARGS]
        suite, tallies, accepted = Suite("random", "x", tuple(rules)), tallies_of(measures), {"name": {"a": 1, "c": 1}}
        broken = find_broken_rows([suite], measures)
        outcomes = judge_suites([suite], tallies, broken, accepted)
        (result,) = check([suite], outcomes, tallies, accepted)
        assert len(result.results) == len(rules)
        by_type = {item.rule.type: item for item in outcomes}
        assert broken["rule_0"].tolist() == np.flatnonzero((n < 5) | (n > 40)).tolist()
        assert broken["rule_1"].tolist() == [row for row, name in enumerate(names) if name == "c"]
        assert broken["rule_2"].tolist() == np.flatnonzero(measures["matches of x"]).tolist()
        assert by_type["expect_total_to_be_between"].observed == pytest.approx(np.nansum(n))
        assert by_type["expect_mean_to_be_between"].observed == pytest.approx(np.nanmean(n))
        labelled = [name for name in names if name]
        shares = [labelled.count(name) / len(labelled) for name in ("a", "b")]
        assert by_type["expect_rates_to_be_between"].observed == pytest.approx(max(shares))
        assert by_type["expect_values_to_contain"].words == "missing: z"


def test_another_verdict_of_great_expectations_is_an_error() -> None:
    suite = Suite("s", "s.yaml", (_rules(0, 10)[0],))
    tallies = {"n": {5: 3}}
    (outcome,) = judge_suites([suite], tallies, {})
    with pytest.raises(ValidationError, match="disagree"):
        check([suite], [outcome._replace(success=False)], tallies)


def test_what_cannot_be_measured_is_not_kept() -> None:
    for rule in _rules(0, 1)[4:6]:
        verdict = judge(rule, {None: 5})
        assert not verdict.kept
        assert np.isnan(verdict.figure)


def test_a_rule_about_an_unknown_measure_is_an_error() -> None:
    suite = Suite("s", "s.yaml", (_rules(0, 1)[0],))
    with pytest.raises(ValidationError, match="'rule_0' looks at a measure that is not taken"):
        find_broken_rows([suite], {})
    with pytest.raises(ValidationError, match="one of other"):
        judge_suites([suite], {"other": {1: 1}}, {})


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=40), st.integers(0, 40))
def test_tallies_do_not_depend_on_batches(values: list[str | None], cut: int) -> None:
    joined = join([encode(values[:cut]), encode(values[cut:])])
    assert tally(joined) == tally(encode(values)) == {name: values.count(name) for name in {*values}}
    chosen = np.arange(len(values)) % 2 == 0
    assert tally(take(joined, chosen)) == tally(encode(values[::2]))


@given(st.lists(st.integers(-3, 3), max_size=40), st.integers(-3, 3), st.integers(-3, 3))
def test_rows_that_break_a_bound_are_those_outside(values: list[int], low: int, high: int) -> None:
    rule = Rule("r", "warn", "", ROW_TYPES[0], {"measure": "n", "min_value": low, "max_value": high})
    rows = broken_rows(rule, np.array(values, dtype=np.int64))
    assert rows.tolist() == [row for row, value in enumerate(values) if not low <= value <= high]


def test_distance_agrees_with_scipy() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    first, other = rng.poisson(5, 300), rng.poisson(6, 200)
    assert distance(tally(first), tally(other)) == pytest.approx(ks_2samp(first, other).statistic)
    assert distance({"a": 3, "b": 1, None: 9}, {"a": 1, "b": 1}) == pytest.approx(0.25)
    assert np.isnan(distance({}, {"a": 1}))
