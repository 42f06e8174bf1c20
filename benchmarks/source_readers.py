"""Readers of the differential test: Ratchet's, and for each format two that share no code with it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ratchet.data.sources.dialect import CsvDialect, Dialect, JsonlDialect
from ratchet.data.sources.formats import read_file
from ratchet.data.sources.reading import Reading
from ratchet.errors import SourceError

COLUMNS = ["text", "label"]
Rows = list[tuple[str | None, ...]]


def read_by_ratchet(path: Path, dialect: Dialect) -> Rows | None:
    """The rows; None: refused."""
    try:
        found = list(read_file(path, dialect, COLUMNS, Reading(), batch_rows=2))
    except SourceError:
        return None
    return [row for part in found for row in zip(*part.columns.values(), strict=True)]


def answers(path: Path, dialect: Dialect) -> dict[str, Rows | None]:
    """What Ratchet and each reader make of a file; None: it refuses."""
    found: dict[str, Rows | None] = {"Ratchet": read_by_ratchet(path, dialect)}
    for name, reader in readers_of(dialect).items():
        try:
            found[name] = reader(path)
        except Exception:  # each has errors of its own
            found[name] = None
    return found


def readers_of(dialect: Dialect) -> dict[str, Callable[[Path], Rows]]:
    """Two readers that share no code with Ratchet's; each raises where it refuses."""
    if dialect.format == "csv":
        return {"pandas": lambda path: _pandas(path, dialect), "DuckDB": lambda path: _duckdb_csv(path, dialect)}
    if dialect.format == "jsonl":
        return {"orjson": lambda path: _orjson(path, dialect), "DuckDB": lambda path: _duckdb_json(path, dialect)}
    return {"Polars": _polars, "DuckDB": _duckdb_parquet}


def _pandas(path: Path, dialect: CsvDialect) -> Rows:
    """The parser in C of pandas. Of a record that begins with a delimiter behind a lone CR it loses the empty field."""
    import pandas as pd

    if re.search(rf"(?:^|[\r\n])\r{re.escape(dialect.delimiter)}", _text(path, dialect)):
        raise ValueError("CR before a delimiter")
    frame = pd.read_csv(
        path,
        sep=dialect.delimiter,
        quotechar=dialect.quote or '"',
        quoting=0 if dialect.quote else 3,
        doublequote=dialect.escape == "doubled",
        escapechar="\\" if dialect.escape == "backslash" else None,
        encoding="utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding,
        compression="gzip" if dialect.compression == "gzip" else None,
        dtype=str,
        keep_default_na=False,
        index_col=False,
    )
    return [tuple(text or None for text in row) for row in frame[COLUMNS].to_numpy().tolist()]


def _text(path: Path, dialect: CsvDialect) -> str:
    """The file's characters, those that are none replaced."""
    content = path.read_bytes()
    return (gzip.decompress(content) if dialect.compression == "gzip" else content).decode(dialect.encoding, "replace")


def _duckdb_csv(path: Path, dialect: CsvDialect) -> Rows:
    """DuckDB knows few encodings and no empty quote: elsewhere it refuses.

    Of a record that begins with a space behind a lone CR it loses the space.
    """
    encodings = {"utf-8": "utf-8", "latin-1": "latin-1", "utf-16": "utf-16"}
    if dialect.encoding not in encodings or not dialect.quote:
        raise ValueError(dialect.encoding)
    if "\r " in _text(path, dialect):
        raise ValueError("CR before a space")
    options = {
        "header": "true",
        "auto_detect": "false",
        "strict_mode": "true",
        "null_padding": "false",
        "all_varchar": "true",
        "columns": "{'text': 'VARCHAR', 'label': 'VARCHAR'}",
        "force_not_null": "['text', 'label']",
        "encoding": f"'{encodings[dialect.encoding]}'",
        "compression": f"'{dialect.compression}'",
        "delim": _sql(dialect.delimiter),
        "quote": _sql(dialect.quote),
        "escape": _sql("\\" if dialect.escape == "backslash" else dialect.quote if dialect.escape == "doubled" else ""),
    }
    named = ", ".join(f"{name} = {value}" for name, value in options.items())
    return _query(f"SELECT text, label FROM read_csv({_sql(str(path))}, {named})")


def _orjson(path: Path, dialect: JsonlDialect) -> Rows:
    import orjson

    data = path.read_bytes()
    text = (gzip.decompress(data) if dialect.compression == "gzip" else data).decode(dialect.encoding)
    rows = [orjson.loads(line) for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    return [tuple(spelled(row.get(name)) for name in COLUMNS) for row in rows]


def _duckdb_json(path: Path, dialect: JsonlDialect) -> Rows:
    if dialect.encoding != "utf-8":
        raise ValueError(dialect.encoding)
    columns = "{'text': 'JSON', 'label': 'JSON'}"
    found = _query(
        f"SELECT text, label FROM read_json({_sql(str(path))}, format = 'newline_delimited', columns = {columns}, "
        f"compression = '{dialect.compression}')"
    )
    return [tuple(None if value is None else spelled(json.loads(value)) for value in row) for row in found]


def _polars(path: Path) -> Rows:
    import polars as pl

    frame = pl.read_parquet(path, columns=COLUMNS)
    return [tuple(map(spelled, row)) for row in frame.select(COLUMNS).rows()]


def _duckdb_parquet(path: Path) -> Rows:
    return [tuple(map(spelled, row)) for row in _query(f"SELECT text, label FROM read_parquet({_sql(str(path))})")]


@cache
def _connection() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _query(statement: str) -> Rows:
    rows = _connection().execute(statement).fetchall()
    return [tuple(value if value != "" else None for value in row) for row in rows]


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def spelled(value: Any) -> str | None:
    """By hand, as `ratchet.values.string` says it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or value == "" else str(value)
