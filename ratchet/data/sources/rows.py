"""Rows on their way in: batches of strings, and what every kind of source does with a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.data.sources.reading import BadRow
from ratchet.errors import SourceError
from ratchet.values import not_a_string, string

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 4_096
"""Rows in memory at once; larger batches were no faster, and long texts fill them quickly."""
BATCH_CHARACTERS = 1 << 25
"""Characters of a batch after which no further row is taken in: fields may be of megabytes."""


class Batch(NamedTuple):
    """Some rows of a source, in its order."""

    name: str
    """The file's name without suffix, its path where names repeat; of other sources, the query or the split."""
    first_row: int
    """Place of the first of them in that file, from 0."""
    frame: pd.DataFrame
    """The named columns as strings; missing values are null."""
    file: str = ""
    """The file, as messages call it; empty: the source has none."""
    lines: Sequence[int] = ()
    """Line of each row in it, from 1; of Parquet, its row."""
    unit: str = "line"
    """What `lines` counts: `line`, or `row`."""
    bad: Sequence[BadRow] = ()
    """The records between them that cannot be read exactly."""


class Rows(NamedTuple):
    """Some rows of a file, and its bad rows between them."""

    columns: dict[str, list[str | None]]
    """Name → value of each row."""
    lines: Sequence[int]
    """First line of each row, from 1; of Parquet, its row."""
    bad: list[BadRow]


class RowsBuffer:
    """Gathers rows until there are enough of them, or of their characters, for a batch."""

    def __init__(self, columns: Sequence[str], batch_rows: int) -> None:
        self._names, self._batch_rows = columns, batch_rows
        self._rows: list[Sequence[str | None]] = []
        self._lines: list[int] = []
        self._bad: list[BadRow] = []
        self._size = 0

    def add(self, row: Sequence[str | None], line: int, size: int) -> bool:
        """Take in a row of so many characters, empty ones as missing; whether it is time to take what is there."""
        self._rows.append(row)
        self._lines.append(line)
        self._size += size
        return len(self._rows) >= self._batch_rows or self._size >= BATCH_CHARACTERS

    def add_bad(self, row: BadRow) -> bool:
        """Take in a bad row; whether it is time to take what is there."""
        self._bad.append(row)
        self._size += len(row.raw)
        return len(self._bad) >= self._batch_rows or self._size >= BATCH_CHARACTERS

    def take(self) -> Rows:
        """What is there, once."""
        values = zip(*self._rows, strict=True) if self._rows else [()] * len(self._names)
        columns = {n: [value or None for value in v] for n, v in zip(self._names, values, strict=True)}
        taken = Rows(columns, self._lines, self._bad)
        self._rows, self._lines, self._bad, self._size = [], [], [], 0
        return taken


def strings(columns: Mapping[str, Sequence[Any]], where: object = "") -> pd.DataFrame:
    """A frame of strings from columns of any values.

    Raises:
        SourceError: a value is a list, a mapping or binary, or a text holds half a surrogate pair.
    """
    return frame_of({name: _strings(name, values, where) for name, values in columns.items()})


def frame_of(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A frame from columns of strings."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})


def _strings(name: str, values: Sequence[Any], where: object) -> list[str | None]:
    try:
        return list(map(string, values))
    except (TypeError, ValueError):
        for value in values:
            if problem := not_a_string(value):
                raise SourceError(
                    f"A value of the column {name!r} is no text.",
                    where=where,
                    got=f"{problem}: {str(value)[:120]}",
                    expected="text, numbers, times or booleans",
                    fix=f"name a column that holds text, or turn {name!r} into text where the source is made",
                ) from None
        raise


def require_columns(where: object, columns: Sequence[str], found: Iterable[str]) -> None:
    """Nothing, if every named column is there.

    Raises:
        SourceError: one is not.
    """
    found = list(found)
    if missing := [name for name in columns if name not in found]:
        raise SourceError(
            f"The source has no column {' or '.join(map(repr, missing))}.",
            where=where,
            got=", ".join(map(str, found)),
            expected=", ".join(columns),
            fix="name the source's own columns in the block 'ingest' of params.yaml",
        )


def require_rows(where: object, n_rows: int) -> None:
    """Nothing, if there are any.

    Raises:
        SourceError: there are none.
    """
    if not n_rows:
        raise SourceError(
            "The source holds no rows.",
            where=where,
            expected="at least one row",
            fix="fill it, or take it out of the source",
        )


def require_sha256(where: object, got: str, pinned: str) -> None:
    """Nothing, if the source is the one that was pinned, or none was (empty).

    Raises:
        SourceError: it is another.
    """
    if pinned and got != pinned:
        raise SourceError(
            "The source is not the one that was pinned: its SHA-256 differs.",
            where=where,
            got=got,
            expected=pinned,
            fix="restore the source, or, if the change is meant, set ingest.source.sha256 in params.yaml to what was "
            "found",
        )


class RowsDigest:
    """SHA-256 of rows as they come by, whatever the batches: each row as a JSON list and a line end."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, frame: pd.DataFrame) -> None:
        """Take in the rows of a batch, columns in the frame's order."""
        columns = [[value if isinstance(value, str) else None for value in frame[name].tolist()] for name in frame]
        for row in zip(*columns, strict=True):
            self._hash.update(json.dumps(row).encode() + b"\n")

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        return self._hash.hexdigest()
