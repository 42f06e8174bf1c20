"""Delimiter-separated values, read by the standard library's `csv` in its strict mode.

Source: RFC 4180, https://www.rfc-editor.org/rfc/rfc4180; why no faster reader: docs/decisions/strict-reader.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from ratchet.data.sources.csv_layout import SWALLOWED, UNGRAMMATICAL, Layout, grammar
from ratchet.data.sources.dialect import CsvDialect
from ratchet.data.sources.reading import BadRow, Reading
from ratchet.data.sources.rows import Rows, RowsBuffer
from ratchet.data.sources.streams import MAX_RECORD, UNDECODABLE, Lines
from ratchet.errors import SourceError

Record = tuple[int, list[str], list[str], str]
"""Its first line, from 1; its lines as they stand in the file; its fields; what `csv` says against it, if anything."""


def read_csv(
    lines: Lines, dialect: CsvDialect, columns: Sequence[str], reading: Reading, where: str, batch_rows: int
) -> Iterator[Rows]:
    """The named columns of each record that can be read exactly, and the bad rows between them, in batches.

    Args:
        lines: of one file.
        dialect: its delimiter, quotes and header.
        columns: the columns to read, each once.
        reading: the pass; its last tally is this file's.
        where: what messages call the file.
        batch_rows: rows in memory at once.

    Raises:
        SourceError: the header cannot be read or lacks a column, or more records are bad than the tolerance allows.
    """
    layout, tally, buffer = None, reading.files[-1], RowsBuffer(columns, batch_rows)
    for first_line, taken, fields, error in records(lines, dialect):
        blank = not fields and not error
        if layout is None and (not blank or dialect.header):
            names = _names(fields, error, first_line, taken, dialect, where)
            layout = Layout(names, dialect, columns, reading.labels, where)
            if dialect.header:
                continue
        tally.n_records += 1
        if layout is None or blank:
            tally.exclude("blank lines")
            continue
        text = taken[0] if len(taken) == 1 else "".join(taken)
        if problem := layout.problem(fields, error, text, taken, tally):
            row = BadRow(where, first_line, len(taken), *problem, lines.raw(text))
            full = buffer.add_bad(reading.set_aside(row, suspected=row.found.startswith(SWALLOWED)))
        else:
            full = buffer.add(layout.pick(fields, tally), first_line, len(text))
        if full:
            yield buffer.take()
    yield buffer.take()


def records(lines: Lines, dialect: CsvDialect) -> Iterator[Record]:
    """Each record of a file, blank lines as records without fields; its lists hold until the next is asked for.

    Raises:
        SourceError: a record is longer than `MAX_RECORD`.
    """
    csv.field_size_limit(MAX_RECORD)  # of the whole process; the default is 131,072 characters
    taken: list[str] = []
    reader = csv.reader(lines.kept(taken), strict=True, **csv_options(dialect))
    while True:
        taken.clear()
        first_line = reader.line_num + 1
        try:
            yield first_line, taken, next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            yield first_line, taken, [], str(error)


def csv_options(dialect: CsvDialect) -> dict[str, Any]:
    """The dialect as the arguments of `csv.reader` and `csv.writer`."""
    return {
        "delimiter": dialect.delimiter,
        "quotechar": dialect.quote or None,
        "quoting": csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        "doublequote": dialect.escape == "doubled",
        "escapechar": "\\" if dialect.escape == "backslash" else None,
    }


def column_names(lines: Lines, dialect: CsvDialect, where: str) -> list[str]:
    """Names of the columns, by the first record; empty: there is none.

    Raises:
        SourceError: it cannot be read.
    """
    for first_line, taken, fields, error in records(lines, dialect):
        if fields or error or dialect.header:
            return _names(fields, error, first_line, taken, dialect, where)
    return []


def _names(fields: list[str], error: str, line: int, taken: list[str], dialect: CsvDialect, where: str) -> list[str]:
    """Names of the columns, by the first record."""
    if not fields and not error:
        error = "a blank line"  # some readers pass over it, others take it for the header
    if not error and dialect.header and (known := grammar(dialect)) and not known.fullmatch("".join(taken)):
        error = UNGRAMMATICAL  # of the header, too: DuckDB passes over all rows behind such a one
    if error or any(UNDECODABLE.search(field) for field in fields):
        raise SourceError(
            "The first record cannot be read.",
            where=f"{where}, line {line}",
            got=f"{error or f'bytes that are no {dialect.encoding}'}: {''.join(taken)[:120]!r}",
            expected=f"fields separated by {dialect.delimiter!r}, in {dialect.encoding}",
            fix="correct ingest.source.dialect in params.yaml, or the file",
        )
    return fields if dialect.header else [f"column_{place}" for place in range(1, len(fields) + 1)]
