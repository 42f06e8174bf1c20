"""JSON Lines, read line by line by the standard library's `json`, which alone can tell that a key stands twice.

Source: https://jsonlines.org; RFC 8259, https://www.rfc-editor.org/rfc/rfc8259, section 4 on names that repeat.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ratchet.data.sources.dialect import JsonlDialect
from ratchet.data.sources.reading import BadRow, FileTally, Reading
from ratchet.data.sources.rows import Rows, RowsBuffer, require_columns
from ratchet.data.sources.streams import UNDECODABLE, Lines
from ratchet.values import not_a_string, string

OBJECT = 'one object a line, such as {"text": "...", "label": "..."}'


class _Twice(dict[str, Any]):
    """An object in which a key stands twice."""

    key = ""


def read_jsonl(
    lines: Lines, dialect: JsonlDialect, columns: Sequence[str], reading: Reading, where: str, batch_rows: int
) -> Iterator[Rows]:
    """The named keys of each object that can be read exactly, and the bad rows between them, in batches.

    A key that is not there is missing, as null is; an object of which none is there too.

    Args:
        lines: of one file.
        dialect: its encoding.
        columns: the keys to read, each once.
        reading: the pass; its last tally is this file's.
        where: what messages call the file.
        batch_rows: rows in memory at once.

    Raises:
        SourceError: no object has one of the keys, or more lines are bad than the tolerance allows.
    """
    known: dict[str, Any] = {}
    tally, buffer = reading.files[-1], RowsBuffer(columns, batch_rows)
    for number, line in enumerate(lines, start=1):
        tally.n_records += 1
        if not line.strip():
            tally.exclude("blank lines")
            continue
        row, values, problem = _parse(line, columns, dialect)
        if problem:
            full = buffer.add_bad(reading.set_aside(BadRow(where, number, 1, *problem, lines.raw(line))))
        else:
            known.update(row)
            _note_types(tally, columns, row)
            full = buffer.add(values, number, len(line))
        if full:
            yield buffer.take()
    if known:  # a key may appear late, so only the end tells which are missing
        require_columns(where, columns, known)
    yield buffer.take()


def keys(lines: Lines, dialect: JsonlDialect, n_lines: int) -> list[str]:
    """The keys of the first objects; lines that hold none are passed over."""
    found: dict[str, None] = {}
    for line in itertools.islice(lines, n_lines):
        if line.strip():
            found.update(dict.fromkeys(_parse(line, [], dialect)[0]))
    return list(found)


def _parse(
    line: str, columns: Sequence[str], dialect: JsonlDialect
) -> tuple[dict[str, Any], list[str | None], tuple[str, str] | None]:
    """The object of a line and its values; and what was found and expected, where it cannot be read exactly."""
    if not line.isascii() and (wrong := UNDECODABLE.search(line)):
        return {}, [], (f"byte 0x{ord(wrong[0]) - 0xDC00:02x}, which is no {dialect.encoding}", dialect.encoding)
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        return {}, [], (f"no JSON ({error})", OBJECT)
    if not isinstance(row, dict):
        return {}, [], (f"JSON, but a {type(row).__name__}", OBJECT)
    if isinstance(row, _Twice):
        return {}, [], (f"the key {row.key!r} twice", "each key once")
    try:
        return row, [string(row.get(name)) for name in columns], None
    except (TypeError, ValueError):
        name, problem = next((name, problem) for name in columns if (problem := not_a_string(row.get(name))))
        return {}, [], (f"{problem} under the key {name!r}", f"text, a number, true, false or null under {name!r}")


def _note_types(tally: FileTally, columns: Sequence[str], row: dict[str, Any]) -> None:
    """Count the values that are neither text nor missing: a column may mix types."""
    for name in columns:
        value = row.get(name)
        if value is not None and not isinstance(value, str):
            tally.note(f"values under {name!r} of the type {type(value).__name__}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        row = _Twice(row)
        row.key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return row
