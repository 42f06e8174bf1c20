"""Spreadsheets that people fill: CSV as Excel and LibreOffice save it in any locale, XLSX, XLS and ODS."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ratchet.data.sources.encoding_detection import detect_encoding
from ratchet.data.sources.streams import MAX_RECORD
from ratchet.errors import TableError
from ratchet.labels.annotators import canonical_name

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
BOOK_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
SEPARATORS = (",", ";", "\t", "|")
COLUMNS = ("id", "text", "label", "annotator", "comment", "change_reason", "lead_time_s", "annotated_at", "source")
"""The columns that are read; a sheet may hold others."""
_HINT = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""The line in which Excel is told the separator."""


class _Table(NamedTuple):
    """Records of one table, the first of which names the columns."""

    what: str
    """How it was read, for messages: `separator ';'`, or `sheet 'Answers'`."""
    records: list[list[str]]


def read_sheet(path: Path) -> list[dict[str, str]]:
    """The rows of a sheet by the names of `COLUMNS`, without empty ones; a row's place is its place in the list.

    The separator, or the sheet of a workbook, is the one that has a column `label` and one of `id` and `text`; names
    may differ in case, spaces and signs, and stand in any order.

    Raises:
        TableError: no separator or sheet gives these columns, a column is there twice, a row has more fields than the
            header, or the file cannot be read.
    """
    try:
        tables = _book(path) if path.suffix.lower() in BOOK_SUFFIXES else _texts(path)
    except (OSError, UnicodeError, csv.Error, LookupError) as error:
        raise TableError("A file with answers cannot be read.", where=path, got=error, expected=_EXPECTED) from None
    found = [(table, [_column(name) for name in table.records[0]]) for table in tables if table.records]
    if not found:
        return []
    for table, names in found:
        if _is_complete(names):
            return _rows(path, table, names)
    raise _no_columns(path, found)


_EXPECTED = "CSV with a header line, XLSX, ODS, or one JSON object a line (.jsonl)"


def _texts(path: Path) -> list[_Table]:
    """A text file by each separator."""
    csv.field_size_limit(MAX_RECORD)  # of the whole process; the default is 131,072 characters
    data = path.read_bytes()
    encoding = detect_encoding(io.BytesIO(data)).name
    text = data.decode(encoding).removeprefix("\ufeff")
    if hint := _HINT.match(text):
        text = text[hint.end() :]
    separators = (hint[1], *SEPARATORS) if hint else SEPARATORS
    tables, problem = [], None
    for separator in dict.fromkeys(separators):
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
            tables.append(_Table(f"separator {separator!r}", _without_empty([*reader])))
        except csv.Error as error:
            header = text.split("\n", 1)[0].split(separator)
            problem = error if _is_complete([_column(name) for name in header]) else problem
    if problem is not None or not tables:
        raise problem or csv.Error("no separator makes columns of it")
    return tables


def _book(path: Path) -> list[_Table]:
    """A workbook by each of its sheets."""
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        sheets = [(name, book.get_sheet_by_name(name).to_python()) for name in book.sheet_names]
    except (python_calamine.CalamineError, ValueError) as error:
        raise OSError(f"it is no workbook: {error}") from None
    return [
        _Table(f"sheet {name!r}", _without_empty([[_cell(value) for value in row] for row in rows]))
        for name, rows in sheets
    ]


def _cell(value: Any) -> str:
    """A cell's value as a person typed it; a time in ISO 8601.

    >>> [_cell(value) for value in (1.0, 2.5, True, datetime(2026, 1, 2, 3), "x")]
    ['1', '2.5', 'true', '2026-01-02T03:00:00', 'x']
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value.isoformat() if isinstance(value, (datetime, date)) else str(value)


def _without_empty(records: list[list[str]]) -> list[list[str]]:
    """The records that hold anything."""
    return [record for record in records if any(field.strip() for field in record)]


def _column(name: str) -> str:
    """A column's name in one spelling.

    >>> _column(" Lead-Time (s)"), _column("LABEL")
    ('lead_time_s', 'label')
    """
    return re.sub(r"[\W_]+", "_", canonical_name(name)).strip("_")


def _is_complete(names: Sequence[str]) -> bool:
    return "label" in names and ("id" in names or "text" in names)


def _rows(path: Path, table: _Table, names: list[str]) -> list[dict[str, str]]:
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise TableError(
            f"The column '{twice[0]}' is there twice.",
            where=path,
            got=f"{table.what}: {', '.join(table.records[0])}",
            fix="delete or rename one of them",
        )
    rows = []
    for number, record in enumerate(table.records[1:], start=1):
        if any(field.strip() for field in record[len(names) :]):
            raise TableError(
                "A file with answers cannot be read.",
                where=path,
                got=f"row {number} has more fields than the header ({table.what})",
                expected="a text with the separator in it stands in quotes",
            )
        rows.append({name: field for name, field in zip(names, record, strict=False) if name in COLUMNS})
    return rows


def _no_columns(path: Path, found: list[tuple[_Table, list[str]]]) -> TableError:
    """The error of a sheet whose columns are not there, by the reading that makes most columns of it."""
    table, names = max(found, key=lambda pair: len(pair[1]))
    missing = "label" if "label" not in names else "id' or 'text"
    near = difflib.get_close_matches(missing.split("'")[0], names, 1)
    tried = ", ".join(one.what for one, _ in found)
    return TableError(
        f"The column '{missing}' is missing.",
        where=path,
        got=f"{', '.join(table.records[0])} ({table.what})",
        expected=f"`label`, and `id` or `text`; tried: {tried}",
        fix=f"name the column as it was sent{f': {near[0]!r} may be it' if near else ''}",
    )
