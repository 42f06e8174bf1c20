"""Outline of a report of any form for display: text, pairs or a table. Nothing in a report can break it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.measure.formats import humanise, is_estimate, metric_name, plain
from ratchet.reporting.cells import FIGURE, Cell, Row, Table, cell

MAX_ROWS = 40
MAX_ITEMS = 12
HIDDEN = ("command",)


def outline(value: Any) -> dict[str, Any]:
    """The value as `{"kind": "text" | "pairs" | "table", ...}`, with all keys in words and all figures formatted.

    Mappings become pairs, or a table when all their values are flat mappings; lists of flat mappings become a table;
    other lists become one line. Long ones are cut, and say so.

    >>> outline({"n_rows": 3, "command": "hidden"})
    {'kind': 'pairs', 'pairs': [('rows', {'kind': 'text', 'text': '3'})]}
    >>> [row.name for row in outline({"a": {"x": 1}, "b": {"x": 2}})["table"].rows]
    ['a', 'b']
    """
    if isinstance(value, Mapping) and not is_estimate(value):
        shown = {str(key): item for key, item in value.items() if key not in HIDDEN}
        if len(shown) > 1 and all(_is_record(item) for item in shown.values()):
            return _table(list(shown.values()), [humanise(key) for key in shown])
        return {"kind": "pairs", "pairs": [(metric_name(key), outline(item)) for key, item in shown.items()]}
    if isinstance(value, (list, tuple)):
        if value and all(_is_record(item) for item in value):
            return _table(value, None)
        return {"kind": "text", "text": _line(value)}
    return {"kind": "text", "text": plain(value)}


def outline_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Records as a table; None where there are none."""
    return outline(rows) if rows else None


def _is_record(value: Any) -> bool:
    """Whether it is a non-empty mapping of scalars and estimates, a row of a table."""
    if not isinstance(value, Mapping) or is_estimate(value) or not value:
        return False
    return all(is_estimate(item) or not isinstance(item, (Mapping, list, tuple)) for item in value.values())


def _table(records: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> dict[str, Any]:
    """A row a record and a column a key of any record; with names, they are the first column."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    shown = [[cell(record.get(column)) for column in columns] for record in records[:MAX_ROWS]]
    figures = [any(row[index].classes == FIGURE for row in shown) for index in range(len(columns))]
    head = [
        Cell(metric_name(column), classes=FIGURE if figure else "")
        for column, figure in zip(columns, figures, strict=True)
    ]
    rows = [Row(names[index] if names else None, cells) for index, cells in enumerate(shown)]
    table = Table([Cell(""), *head] if names else head, rows)
    return {"kind": "table", "table": table, "left_out": max(len(records) - MAX_ROWS, 0)}


def _line(items: Sequence[Any]) -> str:
    shown = [plain(item) if not isinstance(item, (Mapping, list, tuple)) else str(item) for item in items[:MAX_ITEMS]]
    more = f" … ({len(items)} in all)" if len(items) > MAX_ITEMS else ""
    return ", ".join(shown) + more or plain(None)
