"""Data Docs that load nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pandas as pd

from ratchet.data.rules.judge import Outcome, RowJudge, judge_table, skip
from ratchet.data.rules.suites import KWARGS, Rule, Suite
from ratchet.reporting.data_docs import render_data_docs

BETWEEN, LEARNT = "expect_column_values_to_be_between", "40 sampled rows"
RULES = (
    Rule("short", "quarantine", "too short", BETWEEN, {"column": "n_words", "min_value": 3}, LEARNT),
    Rule("class", "quarantine", "", "expect_column_values_to_be_in_set", {"column": "label", "value_set": ["a", "b"]}),
    Rule("shop", "warn", "", "expect_column_values_to_not_be_in_set", {"column": "source", "value_set": ["test"]}),
    Rule("missing", "warn", "", "expect_column_values_to_not_be_null", {"column": "source"}),
    Rule("passed", "stop", "", "expect_column_min_to_be_between", {"column": "n_passed", "min_value": 4}),
    Rule("rate", "stop", "", "expect_column_max_to_be_between", {"column": "rate", "max_value": 0.5}),
    Rule(
        "schema", "stop", "", "expect_column_distinct_values_to_contain_set", {"column": "column", "value_set": ["z"]}
    ),
    Rule("drift", "warn", "", "expect_column_max_to_be_between", {"column": "distance", "max_value": 0.1}),
)
SUITE = Suite("rows", "rows.json", RULES)


@cache
def _outcomes() -> tuple[Outcome, ...]:
    judge = RowJudge([rule for rule in RULES if rule.judges_rows])
    judge.judge(pd.DataFrame({"n_words": [1, 5], "label": ["a", None], "source": ["shop", "test"]}))
    judge.judge(pd.DataFrame({"n_words": [7], "label": ["c"], "source": [None]}))
    table = judge_table(RULES[4:7], {"n_passed": 3, "rate": 0.25}, ["a: string"])
    return (*judge.outcomes(), *table, skip(RULES[7], "not compared"))


def _page() -> str:
    return render_data_docs(_outcomes(), [SUITE], "rules")


def test_every_kind_of_rule_is_on_the_page() -> None:
    assert {rule.type for rule in RULES} == set(KWARGS)


def test_page_says_what_each_rule_wants_and_what_was_found() -> None:
    page = _page()
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|url\(|@import", page)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for part in (
        "rules judged 7 rules kept 1 rules broken 6",
        f"short quarantine broken {BETWEEN}: n_words min_value 3 1 of 3 break it (33.3 %) 3 0 1 too short",
        f"learnt from {LEARNT}",
        'class quarantine broken expect_column_values_to_be_in_set: label value_set ["a", "b"]'.replace('"', "&#34;"),
        "missing warn broken expect_column_values_to_not_be_null: source 1 of 3 break it (33.3 %) 3 1",
        "passed stop broken expect_column_min_to_be_between: n_passed min_value 4 3",
        "rate stop kept expect_column_max_to_be_between: rate max_value 0.5 0.25",
        "missing: z",
        "drift warn not judged expect_column_max_to_be_between: distance max_value 0.1 not compared",
    ):
        assert part in text


def test_equal_results_give_equal_pages() -> None:
    first = _page()
    _outcomes.cache_clear()
    assert _page() == first


def test_what_a_suite_says_is_escaped() -> None:
    evil = replace(RULES[0], name="<script>alert(1)</script> \"'\u202e")
    outcomes = [_outcomes()[0]._replace(rule=evil)]
    page = render_data_docs(outcomes, [replace(SUITE, rules=(evil,))], "rules")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "\u202e" not in page
