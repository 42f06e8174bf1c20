"""The timeline of the demo: printed as it happens, and as a page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratchet.files import replace_file
from ratchet.measure.formats import plain
from ratchet.reporting.cells import FIGURE, Cell, Row, Table, cell
from ratchet.reporting.templates import render_template


class Timeline:
    """Timeline of the demo's events."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._start = time.monotonic()

    def add(self, what: str, detail: str, **figures: Any) -> None:
        """Record an event, and print it."""
        at_s = time.monotonic() - self._start
        self.entries.append({"at_s": at_s, "what": what, "detail": detail, "figures": figures})
        print(f"{at_s:5.0f} s  {what}: {detail}  {', '.join(_words(figures))}".rstrip(), flush=True)


def write_page(path: Path, entries: Sequence[dict[str, Any]], root: Path) -> None:
    """The timeline as a page of its own, with the audit log below."""
    from ratchet.registry.audit_log import entries as read_entries
    from ratchet.registry.audit_log import log_path

    shown = [{**item, "kind": item["what"].split(":")[0], "figures": _words(item["figures"])} for item in entries]
    log = [
        Row(None, [cell(entry.n), *(Cell(text) for text in (entry.who, entry.action, entry.subject, entry.why))])
        for entry in read_entries(log_path(root))
    ]
    table = Table([Cell("n", classes=FIGURE), *(Cell(name) for name in ("who", "action", "subject", "why"))], log)
    with replace_file(path) as partial:
        page = render_template("page.html", folder=Path(__file__).parent, entries=shown, log=table)
        partial.write_text(page, encoding="utf-8")


def _words(figures: dict[str, Any]) -> list[str]:
    return [f"{name} {plain(value)}" for name, value in figures.items() if value is not None]
