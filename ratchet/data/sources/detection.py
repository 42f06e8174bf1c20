"""The dialect of data files, found out from their bytes: a proposal for params.yaml, never what a run goes by."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, CsvDialect, Dialect
from ratchet.errors import SourceError

SAMPLE_BYTES = 1 << 20
"""Bytes of a file that are looked at."""
DELIMITERS, QUOTES = (",", "\t", ";", "|"), ('"', "'")


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
    n_bad_rows: int
    """Records of the sample that this dialect cannot read exactly."""
    findings: list[Finding]


def detect_dialect(path: Path) -> Detected:
    """The dialect in which most records of a local file's beginning can be read exactly.

    Raises:
        SourceError: the file is of no format that can be read.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    if sample.startswith(b"PAR1"):
        import pyarrow.parquet

        return Detected(PARQUET, "starts as Parquet does", pyarrow.parquet.read_schema(path).names, 0, [])
    try:
        text = sample.decode("utf-8-sig")
        encoding = "utf-8"
    except UnicodeDecodeError:
        text, encoding = sample.decode("cp1252", "replace"), "cp1252"
    if text.lstrip().startswith("{"):
        import json

        columns = list(dict.fromkeys(key for line in text.split("\n")[:-1][:1000] for key in json.loads(line)))
        dialect: Dialect = JSONL
        return Detected(dialect, "starts with a JSON object", columns, 0, [])
    ranked = sorted(
        (_score(text, delimiter, quote, escape), -order, delimiter, quote, escape)
        for order, (delimiter, quote, escape) in enumerate(
            itertools.product(DELIMITERS, QUOTES, ("doubled", "backslash"))
        )
    )
    (_, n_columns), _, delimiter, quote, escape = ranked[-1]
    if n_columns < 2:
        raise SourceError("No delimiter makes columns of the file.", where=path, expected="CSV, JSONL or Parquet")
    values = {"encoding": encoding, "delimiter": delimiter, "quote": quote, "escape": escape}
    found = CsvDialect.model_validate({**CSV.model_dump(), **values})
    records, n_bad = _records(text, delimiter, quote, escape)
    return Detected(found, f"{len(records)} records of {n_columns} fields", records[0], n_bad, [])


def _score(text: str, delimiter: str, quote: str, escape: str) -> tuple[float, int]:
    """Share of the records that have the commonest number of fields, and that number."""
    records, n_bad = _records(text, delimiter, quote, escape)
    if not records:
        return 0.0, 0
    n_fields, n = Counter(map(len, records)).most_common(1)[0]
    return (n / (len(records) + n_bad), n_fields) if n_fields > 1 else (0.0, 1)


def _records(text: str, delimiter: str, quote: str, escape: str) -> tuple[list[list[str]], int]:
    escapes: dict[str, Any] = {
        "doublequote": escape == "doubled",
        "escapechar": "\\" if escape == "backslash" else None,
    }
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, quotechar=quote, strict=True, **escapes)
    records, n_bad = [], 0
    while True:
        try:
            records.append(next(reader))
        except csv.Error:
            n_bad += 1
        except StopIteration:
            return records, n_bad
