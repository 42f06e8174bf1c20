"""The timeline of the demo: printed as it happens, and as a page."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratchet.files import replace_file

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "ol{list-style:none;padding:0;border-left:3px solid #3a6ea5}li{margin:0 0 1rem;padding-left:1rem}"
    "time{color:#666;font-variant-numeric:tabular-nums;margin-right:.7rem}code{background:#eee;padding:0 .3rem}"
    "li.alert{border-left:6px solid #c0392b}li.rollback{border-left:6px solid #c0392b}"
    "li.promotion{border-left:6px solid #2e8b57}"
)


class Timeline:
    """What happened, and when."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._start = time.monotonic()

    def add(self, what: str, told: str, **figures: Any) -> None:
        """Note it, and say it."""
        at_s = time.monotonic() - self._start
        self.entries.append({"at_s": at_s, "what": what, "told": told, "figures": figures})
        print(f"{at_s:5.0f} s  {what}: {told}  {_words(figures)}".rstrip(), flush=True)


def write_page(path: Path, entries: Sequence[dict[str, Any]], root: Path) -> None:
    """The timeline as a page of its own, with the audit log below."""
    items = "".join(
        f'<li class="{html.escape(item["what"].split(":")[0])}"><time>{item["at_s"]:.0f} s</time>'
        f"<b>{html.escape(item['what'])}</b> {html.escape(item['told'])} "
        f"{''.join(f'<code>{html.escape(word)}</code> ' for word in _words(item['figures']).split(', ') if word)}</li>"
        for item in entries
    )
    from ratchet.registry.audit_log import entries as read_entries
    from ratchet.registry.audit_log import log_path

    rows = "".join(
        f"<tr><td>{entry.n}<td>{html.escape(entry.who)}<td>{html.escape(entry.action)}<td>{html.escape(entry.subject)}"
        f"<td>{html.escape(entry.why)}"
        for entry in read_entries(log_path(root))
    )
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Ratchet: the story</title>'
        f"<style>{STYLE}td{{padding:.1rem .6rem;vertical-align:top}}</style><h1>From drift to a new champion</h1>"
        f"<ol>{items}</ol><h2>The audit log</h2><table>{rows}</table></html>\n"
    )
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _words(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
        if value is not None
    )
