"""Bytes of a file as lines of text: decompressed, decoded, and nothing lost on the way."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.data.sources.dialect import Compression, CsvDialect, JsonlDialect
from ratchet.errors import SourceError

MAX_RECORD = 1 << 26
"""Characters that a record, or a line, may have: what a quote that never ends costs in memory."""
UNDECODABLE = re.compile(r"[\udc80-\udcff]")
"""A byte that the encoding does not know, as `surrogateescape` carries it; no text decodes to one of these."""
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes → compression."""


def compression_of(file: Path) -> str:
    """The compression that the file's first bytes speak of: `gzip`, `zstd` or `none`."""
    with file.open("rb") as opened:
        start = opened.read(4)
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), "none")


@contextmanager
def open_bytes(file: Path, compression: Compression, where: str) -> Iterator[Any]:
    """The decompressed bytes; members or frames that follow each other are one stream.

    Raises:
        SourceError: the file is compressed in another way than the dialect says, or is damaged or cut short.
    """
    found = compression_of(file)
    if found != compression and file.stat().st_size:
        raise SourceError(
            "The file is not compressed as the dialect says.",
            where=where,
            got=found,
            expected=compression,
            fix="correct ingest.source.dialect.compression in params.yaml",
        )
    try:
        if compression == "gzip":
            import gzip

            with gzip.open(file, "rb") as stream:
                yield stream
        elif compression == "zstd":
            import pyarrow

            with pyarrow.input_stream(str(file), compression="zstd") as stream:
                yield stream
        else:
            with file.open("rb") as stream:
                yield stream
    except (EOFError, OSError, zlib.error) as error:
        if compression == "none":
            raise
        raise SourceError(
            f"The file is not valid {compression}: it is damaged or cut short.",
            where=where,
            got=error,
            expected=f"a whole {compression} file",
            fix="fetch or write the file again",
        ) from None


class Lines:
    """The lines of a text, each with its end; a byte that the encoding does not know is a lone surrogate."""

    def __init__(self, text: io.TextIOWrapper, codec: str, where: str) -> None:
        self._text, self._codec, self._where = text, codec, where
        self.n_lines = 0
        """Lines given so far."""

    def __iter__(self) -> Iterator[str]:
        kept: list[str] = []
        for line in self.kept(kept):
            kept.clear()
            yield line

    def kept(self, kept: list[str]) -> Iterator[str]:
        """The lines, each put into `kept`, which the caller empties between records, before it is given.

        Raises:
            SourceError: what is kept grows beyond `MAX_RECORD` characters; or UTF-16 is broken.
        """
        read, size = self._text.readline, 0
        try:
            while line := read(MAX_RECORD):
                self.n_lines += 1
                size = size + len(line) if kept else len(line)
                kept.append(line)
                if size >= MAX_RECORD:
                    raise too_long(self._where, self.n_lines - len(kept) + 1)
                yield line
        except UnicodeError as error:  # of UTF-16 alone: elsewhere nothing raises
            raise _not_encoded(f"{self._where}, behind line {self.n_lines}", error, self._codec) from None

    def raw(self, text: str) -> bytes:
        """The bytes that were read as this text."""
        return text.encode(self._codec, "surrogateescape")


@contextmanager
def open_lines(file: Path, dialect: CsvDialect | JsonlDialect, where: str) -> Iterator[Lines]:
    """The lines of a file: CSV's end in LF, CRLF or CR, those of JSONL in LF alone. A byte order mark is left out.

    Raises:
        SourceError: as `open_bytes`; UTF-16 is broken; or a line is longer than `MAX_RECORD`.
    """
    codec, n_mark = _codec(file, dialect, where)
    # behind a byte that does not belong UTF-16 cannot be taken up again, so there nothing is carried over
    errors = "strict" if codec.startswith("utf-16") else "surrogateescape"
    newline = "" if dialect.format == "csv" else "\n"
    with open_bytes(file, dialect.compression, where) as data:
        data.read(n_mark)
        text = io.TextIOWrapper(data, encoding=codec, errors=errors, newline=newline)
        try:
            yield Lines(text, codec, where)
        finally:
            text.detach()


def _codec(file: Path, dialect: CsvDialect | JsonlDialect, where: str) -> tuple[str, int]:
    """The codec, and the number of bytes of a byte order mark."""
    with open_bytes(file, dialect.compression, where) as data:
        start = data.read(3)
    marks = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    mark, found = next(((mark, name) for mark, name in marks.items() if start.startswith(mark)), (b"", ""))
    wanted, wide = dialect.encoding, found.startswith("utf-16")
    if found == wanted or (wanted == "utf-16" and (wide or not start)):
        return found or "utf-16-le", len(mark)
    if wanted == "utf-16" or wide or found:
        got = f"a byte order mark of {found.upper()}" if found else "no byte order mark"
        raise _not_encoded(where, got, wanted)
    return wanted, 0


def _not_encoded(where: str, got: object, encoding: str) -> SourceError:
    return SourceError(
        f"The file is not {encoding.upper()}.",
        where=where,
        got=got,
        expected=encoding.upper(),
        fix="correct ingest.source.dialect.encoding in params.yaml, or write the file again",
    )


def too_long(where: str, line: int) -> SourceError:
    """The error of a record without end."""
    return SourceError(
        "A record is too long.",
        where=f"{where}, line {line}",
        got=f"more than {MAX_RECORD:,} characters",
        expected="a line end, or a quote that ends",
        fix="correct the record; or the dialect: a quote that opens here and never closes",
    )
