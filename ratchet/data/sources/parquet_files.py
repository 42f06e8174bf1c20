"""Parquet, read by PyArrow: columns by their types, none of which is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ratchet.data.sources.reading import BadRow, Reading
from ratchet.data.sources.rows import Rows, RowsBuffer, require_columns
from ratchet.errors import SourceError
from ratchet.values import string


def read_parquet(file: Path, columns: Sequence[str], reading: Reading, where: str, batch_rows: int) -> Iterator[Rows]:
    """The named columns of each row as strings, and the bad rows between them, in batches.

    Args:
        file: a local file.
        columns: the columns to read, each once.
        reading: the pass; its last tally is this file's.
        where: what messages call the file.
        batch_rows: rows in memory at once.

    Raises:
        SourceError: the file is damaged, a column is absent or of no type that has strings, or more texts are no UTF-8
            than the tolerance allows.
    """
    import pyarrow
    import pyarrow.parquet

    first = 1
    try:
        # pre-buffered, what was read would stay in memory until the end
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as table:
            _require_types(table.schema_arrow, columns, where)
            for batch in table.iter_batches(batch_rows, columns=list(columns)):
                yield _rows(batch, columns, reading, where, first)
                first += len(batch)
            reading.files[-1].n_records = table.metadata.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # of a column's name, too
        raise _damaged(where, error) from None


def parquet_columns(file: Path) -> list[str]:
    """Names of the columns.

    Raises:
        SourceError: the file is damaged.
    """
    return list(_schema(file).names)


def typed_columns(file: Path) -> tuple[list[str], dict[str, str]]:
    """The columns whose type has strings; and those of another type, with it.

    Raises:
        SourceError: the file is damaged.
    """
    schema = _schema(file)
    others = {field.name: str(field.type) for field in schema if not _has_strings(field.type)}
    return [name for name in schema.names if name not in others and schema.names.count(name) == 1], others


def _schema(file: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_schema(file)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # of a column's name, too
        raise _damaged(str(file), error) from None


def _damaged(where: str, error: Exception) -> SourceError:
    return SourceError("The file is not valid Parquet.", where=where, got=str(error), fix="write the file again")


def _require_types(schema: Any, columns: Sequence[str], where: str) -> None:
    require_columns(where, columns, schema.names)
    for name in columns:
        if schema.names.count(name) > 1:
            raise SourceError(f"The file has two columns {name!r}: which one is meant?", where=where)
        if not _has_strings(schema.field(name).type):
            raise SourceError(
                f"The column {name!r} holds no text.",
                where=where,
                got=str(schema.field(name).type),
                expected="a column of text, numbers, times or booleans",
                fix="name a column that holds text, or write the text to a column of its own",
            )


def _has_strings(kind: Any) -> bool:
    """Whether values of a type have strings: those of lists, structs, maps and bytes have none."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_strings(kind.value_type)
    binary = types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    return not (binary or types.is_binary_view(kind) or types.is_nested(kind))


def _rows(batch: Any, columns: Sequence[str], reading: Reading, where: str, first: int) -> Rows:
    lines = range(first, first + len(batch))
    try:
        values = {name: [string(value) for value in batch.column(name).to_pylist()] for name in columns}
    except UnicodeError:
        return _rows_of_values(batch, columns, reading, where, first)
    return Rows(values, lines, [])


def _rows_of_values(batch: Any, columns: Sequence[str], reading: Reading, where: str, first: int) -> Rows:
    """As `_rows`, value by value: a text of the batch is no UTF-8."""
    buffer = RowsBuffer(columns, len(batch))
    for place in range(len(batch)):
        row: list[str | None] = []
        for name in columns:
            try:
                row.append(string(batch.column(name)[place].as_py()))
            except UnicodeError as error:
                raw = getattr(error, "object", b"")
                bad = BadRow(where, first + place, 0, f"bytes that are no UTF-8 in {name!r}", "UTF-8", bytes(raw))
                buffer.add_bad(reading.set_aside(bad))
                break
        else:
            buffer.add(row, first + place, 0)
    return buffer.take()
