"""A review of a change for a terminal, as Markdown for a pull request, and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.measure.formats import markdown_text
from ratchet.reporting.change import Change, Section
from ratchet.reporting.templates import render_template

if TYPE_CHECKING:
    from rich.console import Console

MAX_ROWS = 40
"""Of each section, in a terminal and in a comment: they are read by people. The page has all."""


def markdown(change: Change) -> str:
    """The review for a pull request."""
    lines = [f"## What {change.after} changes over {change.before}", "", markdown_text(change.verdict)]
    for section in change.sections:
        if section.rows:
            lines += ["", f"### {section.title}", "", *_markdown_table(section)]
    return "\n".join([*lines, "", _unchanged(change), ""])


def print_change(change: Change, console: Console) -> None:
    """The review for a terminal."""
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"{change.before} → {change.after}", style="bold"))
    console.print(Text(change.verdict))
    for section in change.sections:
        if not section.rows:
            continue
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in section.columns:
            table.add_column(column, overflow="fold")
        for row in section.rows[:MAX_ROWS]:
            table.add_row(*map(Text, row))
        console.print(Text(f"\n{section.title}", style="bold underline"))
        console.print(table)
        if more := _more(section):
            console.print(Text(more))
    console.print(Text(f"\n{_unchanged(change)}"))


def page(change: Change) -> str:
    """The review as a page that is complete in itself."""
    return render_template("change.html", change=change, unchanged=_unchanged(change))


def _markdown_table(section: Section) -> list[str]:
    lines = [f"| {' | '.join(section.columns)} |", "|---" * len(section.columns) + "|"]
    lines += [f"| {' | '.join(map(markdown_text, row))} |" for row in section.rows[:MAX_ROWS]]
    return [*lines, *(["", more] if (more := _more(section)) else [])]


def _more(section: Section) -> str:
    n_more = len(section.rows) - MAX_ROWS
    return f"… and {n_more:,} more: `ratchet diff --html FILE` has all" if n_more > 0 else ""


def _unchanged(change: Change) -> str:
    return f"Unchanged: {', '.join(change.unchanged)}." if change.unchanged else "Every section changed."
