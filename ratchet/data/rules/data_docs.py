"""Great Expectations' Data Docs as one page that works offline and calls no other host.

As rendered, a page loads Bootstrap, jQuery and Vega from the network and a logo whose address carries an identifier.
All of that is taken out, what is left is styled here, and what differs from run to run (times, random element ids)
is made the same, so that equal results give equal pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; } th, td { border: 1px solid #ddd; padding: .3rem .6rem; }
th, td { text-align: left; vertical-align: top; } h4, h5, h6 { margin: 1rem 0 .3rem; font-size: 1rem; }
.text-success::before { content: "\\2713"; color: #17793c; } .text-danger::before { content: "\\2717"; color: #b3261e; }
.text-warning::before { content: "\\26a0"; color: #946200; } .badge-info { border: 1px solid #999; padding: 0 .2rem; }
nav ul { columns: 3; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #ddd; } th, td { border-color: #444; } }
</style>"""
_DROPPED = [
    re.compile(pattern, re.DOTALL | re.IGNORECASE)
    for pattern in (
        r"<script\b.*?</script>",
        r"<style\b.*?</style>",
        r"<link\b[^>]*>",
        r"<img\b[^>]*>",
        r"<nav class=\"navbar.*?</nav>\s*</div>\s*</nav>",  # the bar with the logo
        r"<div class=\"card mb-3\">\s*<div class=\"card-header p-2\">\s*<strong>Actions</strong>"
        r".*?(?=<div class=\"card d-md-block)",
        r"<footer\b.*?</footer>",
    )
]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LINK_OUT = re.compile(r"<a\b[^>]*href=\"(?!#)[^\"]*\"[^>]*>(.*?)</a>", re.DOTALL)


def render_data_docs(results: Sequence[Any], title: str) -> str:
    """One HTML page with all expectations of the validation results; no text of the corpus is on it.

    Args:
        results: `ExpectationSuiteValidationResult`s.
        title: the page's title.
    """
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    items = [item for result in results for item in result.results]
    for item in items:
        for key in ("unexpected_index_query", "unexpected_index_list", "unexpected_list"):
            item.result.pop(key, None)  # as long as the rows that break a rule
    n_kept = sum(bool(item.success) for item in items)
    merged = ExpectationSuiteValidationResult(
        success=n_kept == len(items),
        suite_name=title,
        results=items,
        statistics={
            "evaluated_expectations": len(items),
            "successful_expectations": n_kept,
            "unsuccessful_expectations": len(items) - n_kept,
            "success_percent": 100 * n_kept / max(1, len(items)),
        },
        meta={"great_expectations_version": results[0].meta["great_expectations_version"] if results else ""},
    )
    return offline(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(merged)))


def offline(page: str) -> str:
    """The page without anything that is loaded from elsewhere, with a small style of its own.

    >>> offline('<head><script src="https://a.org/x.js"></script></head><a href="https://b.org">b</a>')[-9:]
    '</head>b\\n'
    """
    for pattern in _DROPPED:
        page = pattern.sub("", page)
    page = _LINK_OUT.sub(r"\1", page)
    numbers: dict[str, str] = {}
    page = _UUID.sub(lambda match: numbers.setdefault(match.group(), f"part-{len(numbers)}"), page)
    page = page.replace("</head>", f"{_STYLE}</head>", 1)
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"
