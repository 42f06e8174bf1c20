"""Files read in batches of strings: CSV, TSV, JSONL and Parquet, with one clear message for each way to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.data.sources.rows import BATCH_ROWS, require_columns, require_rows, strings
from ratchet.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def read_file(
    file: Path, columns: Sequence[str], where: str = "", batch_rows: int = BATCH_ROWS
) -> Iterator[pd.DataFrame]:
    """The named columns as strings, in the file's order, at most `batch_rows` rows at a time; missing is null.

    Args:
        file: a local file; its suffix names its format.
        columns: each once.
        where: what messages call the file; empty: its path.
        batch_rows: rows in memory at once.

    Raises:
        SourceError: not UTF-8, not the format its name says, no rows, or a column is absent.
    """
    where, suffix = where or str(file), file.suffix.lower()
    if suffix == ".parquet":
        batches = _read_parquet(file, columns, where, batch_rows)
    elif suffix == ".jsonl":
        batches = _read_jsonl(file, columns, where, batch_rows)
    else:
        batches = _read_csv(file, columns, where, batch_rows, "\t" if suffix == ".tsv" else ",")
    n_rows = 0
    for frame in batches:
        if len(frame):
            yield frame
        n_rows += len(frame)
    require_rows(where, n_rows)


def _read_csv(
    file: Path, columns: Sequence[str], where: str, batch_rows: int, separator: str
) -> Iterator[pd.DataFrame]:
    import pandas as pd

    try:
        header = pd.read_csv(file, sep=separator, encoding="utf-8-sig", nrows=0).columns
        require_columns(where, columns, header)
        with pd.read_csv(
            file,
            sep=separator,
            encoding="utf-8-sig",
            dtype=str,
            keep_default_na=False,
            usecols=list(columns),
            chunksize=batch_rows,
        ) as frames:
            for frame in frames:
                yield strings({name: frame[name].tolist() for name in columns})
    except UnicodeDecodeError:
        raise _not_utf8(file, where) from None
    except pd.errors.EmptyDataError:
        raise SourceError(
            "The file is empty.", where=where, expected="a header line and rows", fix="fill the file"
        ) from None
    except pd.errors.ParserError as error:
        name, separators = ("CSV", "commas") if separator == "," else ("TSV", "tabs")
        raise SourceError(
            f"The file is not valid {name}.",
            where=where,
            got=str(error).strip(),
            expected=f"values separated by {separators}, a header line, quotes doubled within quotes",
            fix="correct the file",
        ) from None


def _read_jsonl(file: Path, columns: Sequence[str], where: str, batch_rows: int) -> Iterator[pd.DataFrame]:
    known: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise _not_utf8(file, where) from None
            if not text.strip():
                continue
            row = _json_object(text, f"{where}, line {number}")
            known.update(dict.fromkeys(row))
            rows.append(row)
            if len(rows) == batch_rows:
                yield strings({name: [row.get(name) for row in rows] for name in columns})
                rows = []
    if known:  # a key may appear late, so only the end tells which are missing
        require_columns(where, columns, known)
    yield strings({name: [row.get(name) for row in rows] for name in columns})


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        row, problem = None, str(error)
    else:
        problem = type(row).__name__
    if not isinstance(row, dict):
        raise SourceError(
            "A line is no JSON object.",
            where=where,
            got=problem,
            expected='one object a line, such as {"text": "...", "label": "..."}',
            fix="correct the line",
        )
    return row


def _read_parquet(file: Path, columns: Sequence[str], where: str, batch_rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file, pre_buffer=False) as table:
            require_columns(where, columns, table.schema_arrow.names)
            for batch in table.iter_batches(batch_rows, columns=list(columns)):
                yield strings({name: batch.column(name).to_pylist() for name in columns})
    except pyarrow.ArrowException as error:
        raise SourceError(
            "The file is not valid Parquet.", where=where, got=str(error), fix="write the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(
            "A text in the file is not UTF-8.",
            where=where,
            got=str(error),
            expected="UTF-8 strings",
            fix="write the file again with its texts as UTF-8",
        ) from None


def _not_utf8(file: Path, where: str) -> SourceError:
    """The message for the first byte that is not UTF-8; no character of several bytes holds a line end."""
    start = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                at = start + error.start
                return SourceError(
                    "The file is not UTF-8.",
                    where=f"{where}, line {number}, byte {at}",
                    got=f"byte 0x{line[error.start]:02x}",
                    expected="UTF-8",
                    fix="convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`",
                )
            start += len(line)
    return SourceError("The file changed while it was read.", where=where, fix="run again once it is written")
