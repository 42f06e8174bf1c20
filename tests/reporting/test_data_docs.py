"""Data Docs that load nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from ratchet.data.rules.expectations import check
from ratchet.data.rules.suites import KWARGS, Rule, Suite
from ratchet.data.rules.tallies import Measure, encode
from ratchet.data.rules.verdicts import find_broken_rows, judge_suites, tallies_of
from ratchet.reporting.data_docs import offline_body, render_data_docs

RULES = (
    Rule("short", "quarantine", "", "expect_measure_to_be_between", {"measure": "n_words", "min_value": 3}),
    Rule("class", "quarantine", "", "expect_measure_to_be_in_set", {"measure": "label", "value_set": ["a", "b"]}),
    Rule("rating", "warn", "", "expect_texts_not_to_match", {"pattern": "[0-9]/10"}),
    Rule("total", "warn", "", "expect_total_to_be_between", {"measure": "n_words", "max_value": 10}),
    Rule("mean", "warn", "", "expect_mean_to_be_between", {"measure": "n_words", "min_value": 1, "max_value": 9}),
    Rule("rates", "stop", "", "expect_rates_to_be_between", {"measure": "label", "value_set": ["a"], "min_value": 0.4}),
    Rule("names", "stop", "", "expect_values_to_contain", {"measure": "label", "value_set": ["a", "z"]}),
    Rule("drift", "warn", "", "expect_distance_from_accepted_to_be_at_most", {"measure": "label", "max_value": 0.1}),
)
SUITE = Suite("rows", "rows.yaml", RULES)
MEASURES: dict[str, Measure] = {
    "n_words": np.array([1, 5, 7]),
    "label": encode(["a", None, "c"]),
    "matches of [0-9]/10": np.array([0, 0, 1]),
}


def test_every_kind_of_rule_is_on_the_page() -> None:
    assert {rule.type for rule in RULES} == set(KWARGS)


def _page(suite: Suite = SUITE) -> str:
    accepted = {"label": {"a": 3}}
    tallies = tallies_of(MEASURES)
    outcomes = judge_suites([suite], tallies, find_broken_rows([suite], MEASURES), accepted)
    return render_data_docs(check([suite], outcomes, tallies, accepted), "rules")


def test_page_says_in_words_what_each_rule_wants_and_what_was_found() -> None:
    page = _page()
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|url\(|@import", page)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for part in (
        "Evaluated Expectations 8",
        "short ( quarantine ): n_words of every row must be at least 3 . 1 of 3 break it (33.3 %)",
        "class ( quarantine ): label of every row that has it must be one of a, b . 1 of 3 break it",
        "rating ( warn ): No text may match [0-9]/10 . 1 of 3 break it",
        "total ( warn ): n_words , added up over all rows, must be at most 10 . 13",
        "mean ( warn ): n_words , averaged over the rows that have it, must be at least 1 and at most 9 . 4.33333",
        "rates ( stop ): The share of each of a in label must be at least 0.4 . a 0.5",
        "names ( stop ): label must have a, z . missing: z",
        "drift ( warn ): The distribution of label must stay within 0.1 of that of the accepted data. distance 0.5",
    ):
        assert part in text


def test_equal_results_give_equal_pages() -> None:
    assert _page() == _page()


def test_links_within_the_page_stay() -> None:
    page = '<body><a href="#part">in</a> <a class="x" href="../y.html">out</a><img src="x"></body>'
    assert offline_body(page) == '<a href="#part">in</a> out'


def test_what_a_suite_says_is_escaped() -> None:
    rules = [replace(RULES[0], name="<script>alert(1)</script> \"'\u202e"), *RULES[1:]]
    page = _page(replace(SUITE, rules=tuple(rules)))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "\u202e" not in page
