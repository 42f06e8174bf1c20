"""The dialect of data files, found out from their bytes: a proposal for params.yaml, never what a run goes by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ratchet.data.sources.csv_detection import detect_csv
from ratchet.data.sources.dialect import JSONL, PARQUET, Compression, Dialect
from ratchet.data.sources.dialect import Encoding as EncodingName
from ratchet.data.sources.encoding_detection import Encoding, detect_encoding
from ratchet.data.sources.formats import columns_of, read_file
from ratchet.data.sources.places import Places, find_files, kind_of
from ratchet.data.sources.reading import BadRow, FileTally, Labels, Reading
from ratchet.data.sources.streams import compression_of, open_bytes
from ratchet.errors import SourceError
from ratchet.progress import Progress

SAMPLE_BYTES = 1 << 20
"""Bytes of a file by which delimiter, quotes and header are told."""
SHOWN_LINES = 5
N_KEYS = 1_000
"""Lines of JSONL whose keys are listed."""
NO_TABLES = {
    b"PK\x03\x04": ("a zip archive, such as an Excel workbook", "save the sheet as CSV in UTF-8"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV in UTF-8"),
    b"SQLite format 3": ("a SQLite database", "name it by its URL with a query, as docs/sources.md shows"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"BZh": ("compressed by bzip2", "compress it by gzip or zstd, or not at all"),
    b"\xfd7zXZ": ("compressed by xz", "compress it by gzip or zstd, or not at all"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
}
"""First bytes of what cannot be read → what it is, and what to do."""


@dataclass(frozen=True)
class Finding:
    """Something that a person should know about the file before trusting it."""

    what: str
    """The finding in words, with counts."""
    lines: tuple[int, ...] = ()
    """The first lines where it is so, from 1."""


@dataclass(frozen=True)
class Detected:
    """A dialect, and what speaks for and against it."""

    dialect: Dialect
    reason: str
    """Why this one, in words."""
    columns: list[str]
    """Names of the columns, in the file's order."""
    n_rows: int
    """Records that can be read exactly in it, of the whole file."""
    n_bad_rows: int
    """Records that cannot."""
    findings: list[Finding]


def detect_dialect(path: Path, labels: Labels | None = None, *, lone: str = "", is_surveyed: bool = True) -> Detected:
    """The dialect in which most records of a local file can be read exactly; then all of the file is read in it.

    Args:
        path: one file.
        labels: what its labels look like, where that is known: it shows records that have swallowed the next.
        lone: the name of a column that may be the only one.
        is_surveyed: without it the rest of the file is not read, and no record counted.

    Raises:
        SourceError: the file is of no format that can be read.
    """
    try:
        dialect, reason, findings = _dialect(path, lone)
    except SourceError as error:
        raise SourceError(
            error.what, where=error.where or path, got=error.got, expected=error.expected, fix=error.fix
        ) from None
    columns = columns_of(path, dialect, N_KEYS)
    named = [name for name in columns if name.strip() and columns.count(name) == 1]
    if len(named) < len(columns):
        twice = sorted({name for name in columns if name.strip() and columns.count(name) > 1})
        what = f"{sum(not name.strip() for name in columns)} columns have no name"
        findings.append(Finding(f"{what}, {len(twice)} stand twice{': ' + ', '.join(twice) if twice else ''}", (1,)))
    if not is_surveyed:
        return Detected(dialect, reason, columns, 0, 0, findings)
    tally, bad = survey(path, dialect, _readable(path, dialect, named, findings), labels)
    for what, n in Counter(row.found for row in bad).most_common(SHOWN_LINES):
        lines = tuple(row.line for row in bad if row.found == what)[:SHOWN_LINES]
        findings.append(Finding(f"records that cannot be read exactly: {n} × {what}", lines))
    findings += [Finding(f"{n} {what}") for what, n in {**tally.excluded, **tally.noted}.items()]
    return Detected(dialect, reason, columns, tally.n_rows, tally.n_bad, findings)


def detect_source(path: str) -> tuple[Detected, Places]:
    """The dialect of a local file, folder or glob, by its first file, and its files.

    Raises:
        SourceError: there is no data file, or one is of another dialect than the first.
    """
    first = _first_file(path)
    detected = detect_dialect(first)
    places = find_files(path, detected.dialect)
    for place in places.files:
        other = detected.dialect if Path(place.path) == first else _dialect(Path(place.path))[0]
        if other != detected.dialect and Path(place.path).stat().st_size:
            raise SourceError(
                "Two files of the source are of different dialects.",
                where=place.path,
                got=other,
                expected=f"{detected.dialect}, as {first}",
                fix="name files of one dialect by a glob, or write one of them anew",
            )
    return detected, places


def survey(
    file: Path, dialect: Dialect, columns: Sequence[str], labels: Labels | None = None
) -> tuple[FileTally, list[BadRow]]:
    """Where the records of a local file go, and those that cannot be read exactly, however many.

    Args:
        file: a local file.
        dialect: how its bytes become records.
        columns: the columns to read, each once.
        labels: what labels look like, where that is known.

    Raises:
        SourceError: the file as a whole cannot be read.
    """
    reading, bad, progress = Reading(file.stat().st_size + (1 << 40), labels), [], Progress("records looked at")
    for rows in read_file(file, dialect, columns, reading):
        bad += [row._replace(raw=row.raw[:SAMPLE_BYTES]) for row in rows.bad]
        progress.add(len(rows.lines))
    return reading.files[-1], bad


def _dialect(path: Path, lone: str = "") -> tuple[Any, str, list[Finding]]:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise SourceError("The file is empty.", expected="records", fix="fill it")
    for magic, (kind, fix) in NO_TABLES.items():
        if start.startswith(magic):
            raise SourceError("The file is of no format that can be read.", got=kind, expected=_FORMATS, fix=fix)
    if start.startswith(b"PAR1"):
        return PARQUET, "it starts as Parquet does", []
    compression: Any = compression_of(path)
    encoding = _encoding(path, compression)
    text, name = _sample(path, compression, encoding), cast("EncodingName", encoding.name)
    findings = [] if encoding.certain else [_unsure(encoding)]
    if text.lstrip().startswith("["):
        raise SourceError(
            "The file is one JSON array.",
            got=repr(text[:40]),
            expected='one JSON object a line, such as {"text": "...", "label": "..."}',
            fix="write it as JSON Lines, for example with jq -c '.[]'",
        )
    if text.lstrip().startswith("{"):
        named = {"compression": compression, "encoding": encoding.name}
        return JSONL.model_copy(update=named), f"it starts with a JSON object; {encoding.reason}", findings
    found = detect_csv(text, name, lone).model_copy(update={"compression": compression})
    return found, f"{encoding.reason}; most records can be read with {found.delimiter!r} between fields", findings


_FORMATS = "CSV, JSON Lines or Parquet, plain or compressed by gzip or zstd"


def _encoding(path: Path, compression: Compression) -> Encoding:
    with open_bytes(path, compression, str(path)) as data:
        return detect_encoding(data)


def _sample(path: Path, compression: Compression, encoding: Encoding) -> str:
    """The beginning of the file, in whole lines."""
    with open_bytes(path, compression, str(path)) as data:
        sample = data.read(SAMPLE_BYTES)
        whole = not data.read(1)
    text: str = sample.decode(encoding.name, "replace").removeprefix("\ufeff")
    end = max(text.rfind("\n"), text.rfind("\r")) + 1
    return text if whole or not end else text[:end]


def _unsure(encoding: Encoding) -> Finding:
    what = f"{encoding.n_beyond_ascii:,} bytes beyond ASCII are read by {encoding.name}, which no byte proves"
    return Finding(f"{what}: {encoding.reason}; look at some of these texts")


def _readable(path: Path, dialect: Dialect, columns: list[str], findings: list[Finding]) -> list[str]:
    """The columns that hold values with a string; the others are named among the findings."""
    if dialect.format == "csv":
        return columns
    if dialect.format == "jsonl":
        readable, nested = _json_columns(path, dialect, columns)
    else:
        from ratchet.data.sources.parquet_files import typed_columns

        readable, nested = typed_columns(path)
    if nested:
        findings.append(Finding(f"columns that hold no text: {', '.join(f'{k} ({v})' for k, v in nested.items())}"))
    return readable


def _json_columns(path: Path, dialect: Any, columns: list[str]) -> tuple[list[str], dict[str, str]]:
    """By the first lines, the keys that never hold lists or objects, and those that do."""
    from ratchet.data.sources.streams import open_lines
    from ratchet.values import not_a_string

    nested: dict[str, str] = {}
    with open_lines(path, dialect, str(path)) as lines:
        for _, line in zip(range(N_KEYS), lines, strict=False):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                nested |= {key: problem for key, value in row.items() if (problem := not_a_string(value))}
    return [name for name in columns if name not in nested], nested


def _first_file(path: str) -> Path:
    """The first data file of a folder or glob, by its name; a file itself."""
    import glob

    root = Path(path)
    if root.is_file():
        return root
    names = sorted(glob.glob(f"{path}/**" if root.is_dir() else path, recursive=True))  # noqa: PTH207
    hidden = (".", "_")
    found = [name for name in map(Path, names) if name.is_file() and not name.name.startswith(hidden)]
    known = [name for name in found if kind_of(str(name))] or found
    if not known:
        raise SourceError(
            "There is no data file.", where=path, got=", ".join(names[:5]) or "nothing", expected=_FORMATS
        )
    return known[0]
