"""Data Docs that load nothing from elsewhere."""

from __future__ import annotations

import re

import pandas as pd

from ratchet.data.data_docs import offline, render_data_docs
from ratchet.data.expectations import Rule, check

RULES = [
    Rule("short", "quarantine", "between", "n_words", "too few words", low=2),
    Rule("mean", "stop", "mean", "n_words", "too short", low=1),
]


def _page() -> str:
    _, result = check(pd.DataFrame({"n_words": [1, 5, 7]}), RULES, "rows")
    return render_data_docs([result], "rules")


def test_page_has_the_results_and_calls_no_host() -> None:
    page = _page()
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|url\(|@import", page)
    text = re.sub(r"<[^>]+>|\s+", " ", page)
    for part in ("n_words", "Evaluated Expectations", "values must be greater than or equal to", "33.33%", "4.33"):
        assert part in text


def test_equal_results_give_equal_pages() -> None:
    assert _page() == _page()


def test_links_within_the_page_stay() -> None:
    page = offline('<head></head><a href="#part">in</a> <a class="x" href="../y.html">out</a><img src="x">')
    assert '<a href="#part">in</a> out\n' in page
