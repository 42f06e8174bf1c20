"""Great Expectations' results as one page that works offline and calls no other host.

Its own Data Docs load Bootstrap, jQuery and Vega from the network, and a logo whose address carries an identifier. This
page shows the same results (each expectation with its arguments, what was evaluated, what was unexpected, what was
observed) in the style of the other pages. Equal results give equal pages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ratchet.data.rules.judge import Outcome
from ratchet.data.rules.suites import Suite
from ratchet.reporting.cells import FIGURE, Cell, Row, Table, head
from ratchet.reporting.templates import render_template

COUNTED = {"element_count": "rows", "missing_count": "missing", "unexpected_count": "unexpected"}
"""What Great Expectations counts for a rule about rows → the head of its column."""


def render_data_docs(outcomes: Sequence[Outcome], suites: Sequence[Suite], title: str) -> str:
    """One HTML page with all rules of the suites, by suite; no text of the data is on it.

    Args:
        outcomes: what was found of every rule, in the order of the suites.
        suites: the rules.
        title: the page's title.
    """
    found = {item.rule.name: item for item in outcomes}
    judged = [item for item in outcomes if not item.skipped]
    n_kept = sum(item.success for item in judged)
    figures = {"judged": len(judged), "kept": n_kept, "broken": len(judged) - n_kept}
    return render_template(
        "data_docs.html",
        title=title,
        tiles_of_rules=[{"name": f"rules {name}", "value": f"{n:,}", "notes": []} for name, n in figures.items()],
        suites=[
            {"name": suite.name, "path": suite.path, "table": _table([found[rule.name] for rule in suite.rules])}
            for suite in suites
        ],
    )


def _table(outcomes: Sequence[Outcome]) -> Table:
    heads = [*head("rule", ["", "expectation", "observed"], ""), *head("", COUNTED.values())[1:], Cell("meaning")]
    return Table(heads, [_row(item) for item in outcomes])


def _row(item: Outcome) -> Row:
    rule, result = item.rule, item.result.result if item.result is not None else {}
    state = Cell("not judged", classes="idle") if item.skipped else Cell("broken", classes="fail")
    arguments = {name: value for name, value in rule.kwargs.items() if name != "column"}
    arguments |= {"language": [*rule.languages]} if rule.languages else {}
    learnt = f"learnt from {rule.learnt_from}" if rule.learnt_from else ""
    return Row(
        rule.name,
        [
            Cell("kept", classes="pass") if item.success and not item.skipped else state,
            Cell(f"{rule.type}: {rule.column}", " ".join(f"{name} {_plain(arguments[name])}" for name in arguments)),
            Cell(item.words),
            *(Cell(f"{result[name]:,}" if name in result else "", classes=FIGURE) for name in COUNTED),
            Cell(rule.reason, learnt),
        ],
        rule.severity,
    )


def _plain(value: Any) -> str:
    """An argument as the suite's file writes it."""
    return json.dumps(value, ensure_ascii=False)
