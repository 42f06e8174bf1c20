"""Rows on their way in: batches of strings, and what every kind of source does with a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 4_096
"""Rows in memory at once; larger batches were no faster, and long texts fill them quickly."""


class Batch(NamedTuple):
    """Some rows of a source, in its order."""

    name: str
    """The file's name without suffix, its path where names repeat; of other sources, the query or the split."""
    first_row: int
    """Place of the first of them in that file, from 0."""
    frame: pd.DataFrame
    """The named columns as strings; missing values are null."""


def strings(columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A frame of strings from columns of any values."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(list(map(string, values)), dtype="str") for name, values in columns.items()})


def string(value: Any) -> str | None:
    """A value as its string, whole numbers without a fraction; missing and empty values as None.

    Half of a surrogate pair, which JSON can spell but no UTF-8 file can hold, becomes U+FFFD.

    Raises:
        SourceError: the value is binary.

    >>> [string(value) for value in (1, 1.0, True, "x", "", None)]
    ['1', '1', 'true', 'x', None, None]
    """
    if isinstance(value, str):
        if value.isascii():
            return value or None
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if value is None or value != value:  # the latter: NaN
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise SourceError(
            "The source has a binary value.",
            got=bytes(value[:12]),
            expected="text, numbers, times or booleans",
            fix="decode the column where the source is made, for example with a cast in the query",
        )
    return str(value)


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
