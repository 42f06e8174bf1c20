"""Files in every dialect for the differential test, and what is a difference between their readers.

A file is the bytes of a random table as its own small writer spells them, then, often, damaged. Of a file that Ratchet
reads, both other readers (`benchmarks/source_readers.py`) must say the same, or refuse; what Ratchet refuses of a
damaged one is no error. Texts are of what readers trip over: delimiters, quotes, escapes, line ends, NUL, separators of
Unicode, letters of several scripts.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from benchmarks.source_readers import COLUMNS, Rows, spelled
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, CsvDialect, Dialect

PIECES = [
    "a",
    "b ",
    "word",
    ",",
    ";",
    "\t",
    "|",
    '"',
    '""',
    "'",
    "\\",
    '\\"',
    "\n",
    "\r",
    "\r\n",
    " ",
    "\0",
    "\u2028",
    "\x85",
]
LETTERS = [
    "é",
    "ß",
    "很",
    "ف",
    "ก",
    "😀",
    "\ufeff",
    "\x1a",
    "0",
    "1.0",
    "NA",
    "None",
    "null",
    "#",
    "=",
    "-",
    "{",
    "[",
    "%",
]
EIGHT_BIT = {"cp1252": "é’€", "latin-1": "éß", "cp1251": "это", "koi8-r": "это", "gb18030": "很好", "shift_jis": "よい"}
"""Encoding of one's own → characters that it knows."""


@dataclass(frozen=True)
class SourceFile:
    """A file to be read by all."""

    content: bytes
    dialect: Dialect
    rows: Rows | None
    """What was written; None: the bytes were damaged, and nobody knows what is right."""


def texts(extra: list[str]) -> st.SearchStrategy[str]:
    """Short texts of what readers trip over."""
    return st.lists(st.sampled_from([*PIECES, *extra]), max_size=6).map("".join)


@st.composite
def source_files(draw: st.DrawFn) -> SourceFile:
    """A file in a random dialect, damaged in two cases of five."""
    write: Callable[[st.DrawFn], SourceFile] = draw(
        st.sampled_from([csv_file, csv_file, csv_file, jsonl_file, parquet_file])
    )
    file = write(draw)
    return file if file.dialect.format == "parquet" or draw(st.integers(0, 4)) > 1 else damaged(draw, file)


def damaged(draw: st.DrawFn, file: SourceFile) -> SourceFile:
    """The file with a few bytes taken away, put in or doubled."""
    zipped = getattr(file.dialect, "compression", "none") == "gzip"
    content = gzip.decompress(file.content) if zipped else file.content
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        put = draw(
            st.sampled_from([b"", b",", b'"', b"\\", b"\n", b"\r", b"x", b"\xff", b"\0", b'",', b'""', b"{", b"}"])
        )
        content = content[:at] + put + content[at + draw(st.integers(0, 2)) :]
    return SourceFile(gzip.compress(content, mtime=0) if zipped else content, file.dialect, None)


def csv_file(draw: st.DrawFn) -> SourceFile:
    """Delimiter-separated values, fields quoted where they must be and sometimes where they need not."""
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16", "utf-16-le", *EIGHT_BIT]))
    quote = draw(st.sampled_from(['"', '"', "'", ""]))
    escape = draw(st.sampled_from(["doubled", "doubled", "backslash", "none"] if quote else ["backslash", "none"]))
    changes = {
        "delimiter": draw(st.sampled_from([",", ";", "\t", "|"])),
        "quote": quote,
        "escape": escape,
        "encoding": encoding,
        "compression": draw(st.sampled_from(["none", "none", "gzip"])),
    }
    dialect = CsvDialect.model_validate({**CSV.model_dump(), **changes})
    field = texts(list(EIGHT_BIT.get(encoding, "".join(LETTERS[:7])))).filter(
        lambda text: _can_be_written(text, dialect)
    )
    rows = draw(st.lists(st.tuples(field, field), min_size=1, max_size=5))
    ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    lines = []
    for row in [tuple(COLUMNS), *rows]:
        line = dialect.delimiter.join(_field(text, dialect, draw(st.booleans())) for text in row)
        lines.append(line + draw(st.sampled_from(ends)))
    text = "".join(lines)
    text = text if draw(st.booleans()) else text.rstrip("\r\n") if not rows[-1][-1].endswith(("\r", "\n")) else text
    mark = "\ufeff" if encoding == "utf-16-le" and draw(st.booleans()) else ""
    content = (mark + text).encode(encoding)
    content = gzip.compress(content, mtime=0) if dialect.compression == "gzip" else content
    return SourceFile(content, dialect, [tuple(text or None for text in row) for row in rows])


def _can_be_written(text: str, dialect: CsvDialect) -> bool:
    try:
        text.encode(dialect.encoding)
    except UnicodeEncodeError:
        return False
    if dialect.escape == "backslash":
        return dialect.quote != "" or not {"\r", "\n"} & {*text}
    if not dialect.quote:
        return not {dialect.delimiter, "\r", "\n"} & {*text}
    return dialect.escape == "doubled" or dialect.quote not in text


def _field(text: str, dialect: CsvDialect, quoted: bool) -> str:
    if dialect.escape == "backslash":
        for special in ("\\", dialect.quote, "" if dialect.quote else dialect.delimiter):
            text = text.replace(special, f"\\{special}") if special else text
    elif dialect.escape == "doubled":
        text = text.replace(dialect.quote, 2 * dialect.quote)
    if not dialect.quote:
        return text
    must = {dialect.delimiter, dialect.quote, "\r", "\n", *("\\" * (dialect.escape == "backslash"))} & {*text}
    return f"{dialect.quote}{text}{dialect.quote}" if must or quoted else text


def jsonl_file(draw: st.DrawFn) -> SourceFile:
    """One object a line, with keys in any order, missing ones, numbers and what nests."""
    value = st.one_of(
        texts(LETTERS), st.none(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.sampled_from([0.5, 1.0])
    )
    rows = draw(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMNS, value)), min_size=1, max_size=5))
    ascii_only, end = draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-16"]))
    lines = [json.dumps({"more": [1, {"text": "x"}], **row}, ensure_ascii=ascii_only) for row in rows]
    first = json.dumps(dict.fromkeys(COLUMNS, "x"))
    content = "".join(line + end for line in [first, *lines]).encode(encoding)
    compressed = draw(st.booleans())
    dialect = JSONL.model_copy(update={"encoding": encoding, "compression": "gzip" if compressed else "none"})
    told: Rows = [("x", "x"), *(tuple(spelled(row.get(name)) for name in COLUMNS) for row in rows)]
    return SourceFile(gzip.compress(content, mtime=0) if compressed else content, dialect, told)


def parquet_file(draw: st.DrawFn) -> SourceFile:
    """Texts and labels of many types, in row groups of any size."""
    import pyarrow as pa
    import pyarrow.parquet

    n_rows = draw(st.integers(1, 6))
    text_type = draw(st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]))
    kind, value = draw(
        st.sampled_from([(pa.int64(), st.integers(-5, 5)), (pa.bool_(), st.booleans()), (pa.string(), texts([]))])
    )
    columns = [
        draw(st.lists(st.one_of(st.none(), item), min_size=n_rows, max_size=n_rows)) for item in (texts(LETTERS), value)
    ]
    table = pa.table({"text": pa.array(columns[0], pa.string()).cast(text_type), "label": pa.array(columns[1], kind)})
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(
        table,
        sink,
        row_group_size=draw(st.integers(1, 6)),
        compression=draw(st.sampled_from(["zstd", "snappy", "none"])),
    )
    rows: Rows = [tuple(spelled(value) for value in row) for row in zip(*columns, strict=True)]
    return SourceFile(sink.getvalue().to_pybytes(), PARQUET, rows)


def differences_of(file: SourceFile, found: dict[str, Rows | None]) -> list[str]:
    """Who says otherwise than Ratchet: what was written, or a reader; none where Ratchet refuses damaged bytes."""
    rows = found["Ratchet"]
    if rows is None:
        return [] if file.rows is None else [f"refused, but written: {file.rows}"]
    told = [] if file.rows in (None, rows) else [f"written: {file.rows}, Ratchet: {rows}"]
    return told + [f"{name}: {others}, Ratchet: {rows}" for name, others in found.items() if others not in (None, rows)]
