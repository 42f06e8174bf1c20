"""Great Expectations' Data Docs as one page that works offline and calls no other host.

As rendered, a page loads Bootstrap, jQuery and Vega from the network and a logo whose address carries an identifier.
All of that is taken out, what is left is shown in the style of the other pages, and what differs from run to run
(times, random element ids) is made the same, so that equal results give equal pages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ratchet.reporting.templates import render_template

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
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(merged))
    return render_template("data_docs.html", title=title, body=Markup(offline_body(page)))  # GX has escaped its texts


def offline_body(page: str) -> str:
    """What stands in the page's body, without anything that is loaded from elsewhere or that runs.

    >>> offline_body('<body><script src="https://a.org/x.js"></script><a href="https://b.org">b</a></body>')
    'b'
    """
    body = page.partition("<body>")[2].rpartition("</body>")[0]
    for pattern in _DROPPED:
        body = pattern.sub("", body)
    body = _LINK_OUT.sub(r"\1", body)
    numbers: dict[str, str] = {}
    body = _UUID.sub(lambda match: numbers.setdefault(match.group(), f"part-{len(numbers)}"), body)
    return "\n".join(line.rstrip() for line in body.splitlines() if line.strip())
