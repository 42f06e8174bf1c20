"""Erasure of texts from one file, by what the file is: a table, JSON, a sheet, a database, a log.

`count` says how often a file holds one of the texts, `erase` rewrites it without them, whole or not at all, or removes
it where it cannot go without them. Kinds are told by content: objects of DVC's cache have no suffix.
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.forgetting.matching import Forgotten, as_text
from ratchet.files import replace_file

if TYPE_CHECKING:
    import pyarrow

ERASED = "[forgotten]"
"""Stands where a value of a JSON object was."""
ID_COLUMNS = ("id", "unmasked_id")
MAX_TEXT_BYTES = 200_000_000
"""Files up to this size are read as text where they are such; larger ones as bytes only."""
SHEETS = (".csv", ".tsv")
BOOKS = (".xlsx", ".xlsm")


def kind_of(path: Path) -> str:
    """parquet, sqlite, zip, gzip, text or binary, by the first bytes."""
    with path.open("rb") as file:
        start = file.read(8192)
    for mark, kind in MAGIC.items():
        if start.startswith(mark):
            return kind
    return "text" if as_text(start) is not None else "binary"


MAGIC = {b"PAR1": "parquet", b"SQLite format 3\0": "sqlite", b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip"}


def count(path: Path, what: Forgotten, names: bool = True, whole: bool = False) -> int:
    """How often the file holds one of the texts: rows of a table or database, else 1 or 0.

    Args:
        path: a file.
        what: the texts.
        names: whether an id alone counts, in a file that is no table; it is a hash.
        whole: whether the start of a text is too little, since records that begin alike are kept there.
    """
    kind = kind_of(path)
    if kind == "parquet":
        return sum(sum(found) for _, found in _batches(path, what))
    if kind == "sqlite":
        return sum(len(rows) for rows in _rows(path, what).values())
    return int(any(_holds(content, what, names, whole) for content in _contents(path, kind)))


def erase(path: Path, what: Forgotten) -> str:
    """Rewrite the file without the texts; what was done: `rewritten` or `deleted`."""
    kind = kind_of(path)
    if kind == "parquet":
        _erase_rows(path, what)
    elif kind == "sqlite":
        _erase_records(path, what)
    elif path.suffix.lower() in BOOKS and kind == "zip":
        _erase_book(path, what)
    elif kind == "text" and (text := as_text(path.read_bytes())) is not None:
        _write_without(path, text, what)
    if path.is_file() and count(path, what, whole=is_records(path)):
        path.unlink()
    return "rewritten" if path.is_file() else "deleted"


def is_records(path: Path) -> bool:
    """Whether a file holds records of the data or of people, one beside the other."""
    return path.suffix.lower() in (".json", ".jsonl", *SHEETS, *BOOKS)


def collect(path: Path) -> Iterator[dict[str, str]]:
    """Of each row of a table, database or JSONL file what names or is a text: id, unmasked_id, text, raw."""
    kind = kind_of(path)
    if kind == "parquet":
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            columns = [name for name in file.schema_arrow.names if name in TOLD]
            if {"text", "raw"} & {*columns} or "unmasked_id" in columns:
                for batch in file.iter_batches(columns=columns):
                    yield from (_told(row) for row in batch.to_pylist())
    elif kind == "sqlite":
        for _, names, row in _records(path):
            if "text" in names:
                yield _told(dict(zip(names, row[1:], strict=True)))
    elif path.suffix == ".jsonl":
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            yield from (_told(row) for row in [_json(line)] if isinstance(row, dict))


TOLD = ("id", "unmasked_id", "text", "raw")


def _told(row: dict[str, Any]) -> dict[str, str]:
    values = {name: row.get(name) for name in TOLD}
    told = {name: _plain(value) for name, value in values.items()}
    return {name: value for name, value in told.items() if value}


def _plain(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value or "")


def _holds(content: bytes, what: Forgotten, names: bool, whole: bool) -> bool:
    text = as_text(content) if len(content) <= MAX_TEXT_BYTES else None
    if text is None:
        return what.in_bytes(content, names)
    return what.in_text(text, names, whole)


def _contents(path: Path, kind: str) -> Iterator[bytes]:
    """The content of a file, or of each member of an archive."""
    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield archive.read(name)
            return
        if kind == "gzip":
            yield gzip.decompress(path.read_bytes())
            return
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError):
        pass  # damaged, or only looks like an archive
    yield path.read_bytes()


def _batches(path: Path, what: Forgotten) -> Iterator[tuple[pyarrow.RecordBatch, list[bool]]]:
    """Batches of a Parquet table, and which of their rows are about a text."""
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(16_384):
            found = [False] * batch.num_rows
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                if not _is_words(column.type):
                    continue
                for at, value in enumerate(column.to_pylist()):
                    found[at] = found[at] or (value is not None and _is_cell(name, _plain(value), what))
            yield batch, found


def _is_cell(column: str, value: str, what: Forgotten) -> bool:
    """Whether a cell is about a text; hashes in other columns, as of the first text of a group, do not count."""
    if column in ID_COLUMNS:
        return value in what.ids
    return column not in HASHES and what.in_value(value, column in TEXT_COLUMNS)


HASHES = ("group", "annotation_id", "bundle")
TEXT_COLUMNS = ("text", "raw", "value")
"""Columns whose values are texts, or may be."""


def _is_words(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(
        types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    )


def _erase_rows(path: Path, what: Forgotten) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(path)
    with replace_file(path) as partial, pyarrow.parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
        for batch, found in _batches(path, what):
            writer.write_batch(batch.filter(pyarrow.array([not row for row in found])))


def _records(path: Path) -> Iterator[tuple[str, list[str], tuple[Any, ...]]]:
    """Table, columns and row, with its number first, of a database; no internal tables."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        database.text_factory = lambda value: value.decode("utf-8", "replace")
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table.startswith("sqlite_"):
                continue
            try:
                rows = database.execute(f'SELECT rowid, * FROM "{table}"')
            except sqlite3.OperationalError:  # without row numbers: none of Ratchet's or Prefect's holds texts
                continue
            names = [column[0] for column in rows.description[1:]]
            for row in rows:
                yield table, names, row


def _rows(path: Path, what: Forgotten) -> dict[str, list[int]]:
    """Table → numbers of its rows that hold a text."""
    found: dict[str, list[int]] = {}
    for table, names, row in _records(path):
        cells = [
            (name, _plain(value)) for name, value in zip(names, row[1:], strict=True) if isinstance(value, (str, bytes))
        ]
        if any(_is_cell(name, value, what) or what.in_text(value) for name, value in cells):
            found.setdefault(table, []).append(row[0])
    return found


def _erase_records(path: Path, what: Forgotten) -> None:
    """Delete rows, and overwrite what they leave in the file and in its write-ahead log."""
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.execute("PRAGMA secure_delete = ON")
        for table, numbers in _rows(path, what).items():
            database.executemany(f'DELETE FROM "{table}" WHERE rowid = ?', [(number,) for number in numbers])
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write_without(path: Path, text: str, what: Forgotten) -> None:
    """Rewrite a text file: a JSON document by its values, a sheet by its records, anything else by its lines."""
    kept: str | None
    if path.suffix == ".json" and (value := _json(text)) is not None:
        kept = json.dumps(prune(value, what), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    elif path.suffix.lower() in SHEETS:
        kept = "".join(record for record in _sheet_records(text) if not what.in_text(record, whole=True))
    else:
        kept = "".join(line for line in _lines(text) if not what.in_text(line, whole=is_records(path)))
    code = "utf-16" if path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    with replace_file(path) as partial:
        partial.write_bytes(kept.encode(code, "surrogateescape"))


def prune(value: Any, what: Forgotten) -> Any:
    """A JSON value without items that name or quote a text; a key's value becomes `[forgotten]`.

    >>> prune({"ids": ["a", "b"], "why": "a"}, Forgotten({"a"}))
    {'ids': ['b'], 'why': '[forgotten]'}
    """
    if isinstance(value, dict):
        return {
            ERASED if _is_quote(key, what) else key: ERASED if _is_quote(item, what, key) else prune(item, what)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [prune(item, what) for item in value if not _is_about(item, what)]
    return value


def _is_about(item: Any, what: Forgotten) -> bool:
    """Whether an item of a list is about a text: itself, or one of its own values."""
    if isinstance(item, dict):
        return any(_is_quote(value, what, key) for key, value in item.items())
    return any(_is_quote(value, what) for value in (item if isinstance(item, list) else [item]))


def _is_quote(value: Any, what: Forgotten, name: str = "") -> bool:
    return isinstance(value, str) and (what.in_value(value, name in TEXT_COLUMNS) or what.in_text(value, whole=True))


def _lines(text: str) -> list[str]:
    """Lines with their ends; LF alone ends one, as in JSONL."""
    return [line for line in text.split("\n")[:-1] for line in (line + "\n",)] + [text.split("\n")[-1]]


def _sheet_records(text: str) -> Iterator[str]:
    """Records of a CSV file as they stand, whatever their separator: quoted line breaks belong to their record."""
    lines, waiting = _lines(text), ""
    for line in lines:
        waiting += line
        if waiting.count('"') % 2 == 0:
            yield waiting
            waiting = ""
    yield waiting


def _erase_book(path: Path, what: Forgotten) -> None:
    """Delete rows of a workbook."""
    import openpyxl

    book = openpyxl.load_workbook(path)
    for sheet in book.worksheets:
        about = [row[0].row for row in sheet.iter_rows() if any(_is_quote(_plain(cell.value), what) for cell in row)]
        for number in reversed(about):
            sheet.delete_rows(number)
    content = io.BytesIO()
    book.save(content)
    with replace_file(path) as partial:
        partial.write_bytes(content.getvalue())


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
