"""A local file in its dialect, read in batches of strings, every record accounted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ratchet.data.sources.csv_files import column_names, read_csv
from ratchet.data.sources.dialect import CsvDialect, Dialect
from ratchet.data.sources.jsonl_files import keys, read_jsonl
from ratchet.data.sources.parquet_files import parquet_columns, read_parquet
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import BATCH_ROWS, Rows
from ratchet.data.sources.streams import open_lines
from ratchet.errors import SourceError


def read_file(
    file: Path,
    dialect: Dialect,
    columns: Sequence[str],
    reading: Reading | None = None,
    where: str = "",
    batch_rows: int = BATCH_ROWS,
) -> Iterator[Rows]:
    """The named columns as strings, in the file's order, at most `batch_rows` rows at a time; missing is None.

    Args:
        file: a local file.
        dialect: how its bytes become records.
        columns: each once.
        reading: the pass that this file is part of, whose tolerance counts; without one no record may be bad.
        where: what messages call the file; empty: its path.
        batch_rows: rows in memory at once.

    Raises:
        SourceError: the file is not of this dialect, a column is absent, or too many records cannot be read exactly.
    """
    where, reading = where or str(file), reading or Reading()
    tally = reading.start(where)
    for rows in _read(file, dialect, columns, reading, where, batch_rows):
        tally.n_rows += len(rows.lines)
        if rows.lines or rows.bad:
            yield rows
    tally.require_balance()
    reading.require_few_suspected()


def columns_of(file: Path, dialect: Dialect, n_lines: int) -> list[str]:
    """Names of the columns of a local file; of JSONL, the keys of its first lines, since a key may appear late.

    Raises:
        SourceError: the file is not of this dialect.
    """
    _require_format(file, dialect, str(file))
    if dialect.format == "parquet":
        return parquet_columns(file)
    with open_lines(file, dialect, str(file)) as lines:
        if isinstance(dialect, CsvDialect):
            return column_names(lines, dialect, str(file))
        return keys(lines, dialect, n_lines)


def _read(
    file: Path, dialect: Dialect, columns: Sequence[str], reading: Reading, where: str, batch_rows: int
) -> Iterator[Rows]:
    _require_format(file, dialect, where)
    if dialect.format == "parquet":
        yield from read_parquet(file, columns, reading, where, batch_rows)
        return
    with open_lines(file, dialect, where) as lines:
        if isinstance(dialect, CsvDialect):
            yield from read_csv(lines, dialect, columns, reading, where, batch_rows)
        else:
            yield from read_jsonl(lines, dialect, columns, reading, where, batch_rows)


def _require_format(file: Path, dialect: Dialect, where: str) -> None:
    with file.open("rb") as opened:
        parquet = opened.read(4) == b"PAR1"
    if parquet != (dialect.format == "parquet") and file.stat().st_size:
        raise SourceError(
            "The file is not of the format that the dialect says.",
            where=where,
            got="Parquet" if parquet else "no Parquet",
            expected=dialect.format,
            fix="correct ingest.source.dialect in params.yaml",
        )
