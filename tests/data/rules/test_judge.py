"""Great Expectations as the judge: its verdicts are those of numpy, in batches of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.data.rules.expectations import great_expectations
from ratchet.data.rules.judge import RowJudge, judge_table
from ratchet.data.rules.profiles import MAX_NAMES, Counts, add_names, distance
from ratchet.data.rules.suites import KWARGS, Rule
from ratchet.errors import ValidationError

FOLDER = Path(__file__).parents[3] / "data" / "suites"
PLACE = {"column": "n", "min_value": 5, "max_value": 40}
ROWS = [
    Rule("range", "warn", "", "expect_column_values_to_be_between", PLACE),
    Rule("known", "warn", "", "expect_column_values_to_be_in_set", {"column": "name", "value_set": ["a", "b"]}),
    Rule("no_b", "warn", "", "expect_column_values_to_not_be_in_set", {"column": "name", "value_set": ["b"]}),
    Rule("named", "warn", "", "expect_column_values_to_not_be_null", {"column": "name"}),
]
TABLE = [
    Rule("least", "warn", "", "expect_column_min_to_be_between", {"column": "rate", "min_value": 0.5}),
    Rule("most", "warn", "", "expect_column_max_to_be_between", {"column": "rate", "max_value": 0.5}),
    Rule(
        "has", "stop", "", "expect_column_distinct_values_to_contain_set", {"column": "column", "value_set": ["a", "z"]}
    ),
]


def _measured(n_rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = rng.integers(0, 50, n_rows).astype(float)
    n[rng.random(n_rows) < 0.1] = np.nan
    names = rng.choice(np.array(["a", "b", "c", None]), n_rows, p=[0.4, 0.3, 0.2, 0.1])
    return pd.DataFrame({"n": n, "name": pd.Series(names, dtype="str")})


def test_every_kind_is_tried() -> None:
    assert {rule.type for rule in (*ROWS, *TABLE)} == set(KWARGS)


@pytest.mark.parametrize("sizes", [[500], [120, 0, 380]], ids=["whole", "batches"])
def test_a_rule_for_a_language_judges_its_texts_alone(sizes: list[int]) -> None:
    frame = _measured(500)
    language = np.random.default_rng(8).choice(["de", "en", "zh"], len(frame))
    frame["language"] = pd.Categorical(language)
    kind = "expect_column_values_to_be_between"
    rules = [
        Rule("short_de", "quarantine", "", kind, {"column": "n", "min_value": 20}, languages=("de",)),
        Rule("long", "warn", "", kind, {"column": "n", "max_value": 40}, languages=("en", "zh")),
        Rule("none", "warn", "", kind, {"column": "n", "max_value": 0}, languages=("fr",)),
    ]
    judge, start = RowJudge(rules), 0
    for size in sizes:
        judge.judge(frame[start : start + size])
        start += size
    n = frame["n"].to_numpy()
    expected = [(language == "de") & (n < 20), (language != "de") & (n > 40), np.zeros(len(frame), dtype=bool)]
    for outcome, broken in zip(judge.outcomes(), expected, strict=True):
        np.testing.assert_array_equal(outcome.rows, np.flatnonzero(broken))
        assert outcome.success == (not broken.any())
    assert judge.outcomes()[0].rule.expected == "n at least 20 in texts of de"


@pytest.mark.parametrize("sizes", [[500], [200, 0, 299, 1]], ids=["whole", "batches"])
def test_the_rows_that_break_a_rule_are_those_that_numpy_finds(sizes: list[int]) -> None:
    frame, judge, start = _measured(500), RowJudge(ROWS), 0
    for size in sizes:
        judge.judge(frame[start : start + size])
        start += size
    n, names = frame["n"].to_numpy(), frame["name"]
    expected = {
        "range": (n < 5) | (n > 40),
        "known": (names == "c").to_numpy(),
        "no_b": (names == "b").to_numpy(),
        "named": names.isna().to_numpy(),
    }
    for item in judge.outcomes():
        rows = np.flatnonzero(expected[item.rule.name])
        assert item.rows.tolist() == rows.tolist()
        assert (item.success, item.observed) == (False, len(rows))
        counted = item.result.result
        assert (counted["element_count"], counted["unexpected_count"]) == (500, len(rows))
        n_missing = 0 if item.rule.name == "named" else frame[item.rule.column].isna().sum()
        assert counted["unexpected_percent"] == pytest.approx(100 * len(rows) / (500 - n_missing))
        assert counted.get("missing_count", 0) == n_missing


def test_categories_and_a_table_without_rows_can_be_judged() -> None:
    judge = RowJudge(ROWS)
    judge.judge(_measured(50).astype({"name": "category"})[:0])
    assert [item.success for item in judge.outcomes()] == [True] * len(ROWS)
    broken = judge.judge(_measured(50).astype({"name": "category"}))
    assert broken["known"].tolist() == np.flatnonzero(_measured(50)["name"] == "c").tolist()


@pytest.mark.parametrize(("rate", "kept"), [(0.5, [True, True]), (0.4, [False, True]), (float("nan"), [False, False])])
def test_a_figure_is_judged_and_an_undefined_one_keeps_no_rule(rate: float, kept: list[bool]) -> None:
    found = judge_table(TABLE, {"rate": rate}, ["a", "b"], {"rate": "of a"})
    assert [item.success for item in found] == [*kept, False]
    assert found[0].observed == pytest.approx(rate, nan_ok=True)
    assert found[0].words == ("undefined (of a)" if rate != rate else f"{rate:g} (of a)")
    assert (found[2].observed, found[2].words) == (1, "missing: z")


def test_a_rule_about_an_unknown_column_is_an_error() -> None:
    with pytest.raises(ValidationError, match="'range' looks at a column that is not measured"):
        RowJudge(ROWS).judge(_measured(3)[["name"]])
    with pytest.raises(ValidationError, match="one of column, other"):
        judge_table(TABLE, {"other": 1}, [])


def test_a_rule_that_cannot_be_evaluated_is_an_error_and_not_kept() -> None:
    frame = _measured(20).assign(n="text")
    with pytest.raises(ValidationError, match="'range' could not be judged"):
        RowJudge(ROWS).judge(frame)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_great_expectations_reads_the_suites_itself(path: Path) -> None:
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    suite = great_expectations().ExpectationSuite(**written)
    assert [item.configuration.type for item in suite.expectations] == [e["type"] for e in written["expectations"]]
    assert [item.meta["rule"] for item in suite.expectations] == [e["meta"]["rule"] for e in written["expectations"]]


def test_distance_agrees_with_scipy() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(0)
    first, other = rng.poisson(5, 300), rng.poisson(6, 200)
    counts = [
        dict(zip(*(part.tolist() for part in np.unique(side, return_counts=True)), strict=True))
        for side in (first, other)
    ]
    assert distance(*counts) == pytest.approx(ks_2samp(first, other).statistic)
    assert distance({"a": 3, "b": 1}, {"a": 1, "b": 1}) == pytest.approx(0.25)
    assert distance({"a": 1, "x": 1, "y": 1}, {"a": 1, "b": 1}) == pytest.approx(2 / 3)
    assert np.isnan(distance({}, {"a": 1}))


def test_names_are_counted_in_bounded_memory() -> None:
    counts: Counts = {}
    add_names(counts, {f"name {at}": 1 for at in range(MAX_NAMES + 5)})
    add_names(counts, {"name 3": 2, "another": 4})
    assert (len(counts), counts["name 3"], counts["…"]) == (MAX_NAMES + 1, 3, 9)
