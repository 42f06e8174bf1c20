"""How the bytes of data files become records: format, compression, encoding, and CSV's delimiter, quote and escape.

`ratchet.data.sources.detection` finds these out before they are written down; a run guesses nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ratchet.params import Params

Compression = Literal["none", "gzip", "zstd"]
Encoding = Literal[
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "cp1252",
    "latin-1",
    "iso-8859-15",
    "cp1250",
    "cp1251",
    "koi8-r",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "gb18030",
    "big5",
    "shift_jis",
    "cp932",
    "euc-jp",
    "euc-kr",
]


class CsvDialect(Params):
    """Delimiter-separated values; RFC 4180 is delimiter `,`, quote `"`, escape `doubled`.

    Lines end in LF, CRLF or CR, mixed or not, and a byte order mark is no part of the first column.
    """

    format: Literal["csv"]
    """This format."""
    compression: Compression
    """Of the whole file."""
    encoding: Encoding
    """Of the text; utf-16 needs a byte order mark, utf-16-le and utf-16-be have none."""
    delimiter: str = Field(min_length=1, max_length=1)
    """The character between fields, such as `,`, `;`, `|` or a tab."""
    quote: str = Field(max_length=1)
    """The character around fields that hold delimiters or line ends; empty: there are none, quotes are text."""
    escape: Literal["doubled", "backslash", "none"]
    """A quote inside quotes: doubled, after a backslash, or never."""
    header: bool
    """Whether the first record names the columns; without one they are called column_1, column_2, …"""
    unnamed: Literal["refuse", "join", "ignore"]
    """A value under a column without a name: the record is bad; it continues the last named column, whose text an
    unquoted delimiter cut, with that delimiter put back; or it is left unread."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        special = {"\r", "\n", "\\", "\0", "\ufeff"}
        if self.delimiter in special | {self.quote}:
            raise ValueError("delimiter: must be neither the quote, a backslash nor a line end")
        if self.quote in special or self.quote == " ":
            raise ValueError("quote: must be neither a backslash, a space nor a line end")
        if not self.quote and self.escape == "doubled":
            raise ValueError("escape: doubled needs a quote; without one it is backslash or none")
        return self


class JsonlDialect(Params):
    """One JSON object a line (JSON Lines, NDJSON); lines end in LF or CRLF."""

    format: Literal["jsonl"]
    """This format."""
    compression: Compression
    """Of the whole file."""
    encoding: Literal["utf-8", "utf-16", "utf-16-le", "utf-16-be"]
    """Of the text; utf-16 needs a byte order mark, utf-16-le and utf-16-be have none."""


class ParquetDialect(Params):
    """Parquet, which says all else itself."""

    format: Literal["parquet"]
    """This format."""


Dialect = Annotated[CsvDialect | JsonlDialect | ParquetDialect, Field(discriminator="format")]
"""Any of them; `format` says which."""

CSV = CsvDialect(
    format="csv",
    compression="none",
    encoding="utf-8",
    delimiter=",",
    quote='"',
    escape="doubled",
    header=True,
    unnamed="refuse",
)
"""RFC 4180 in UTF-8: what most tools write."""
JSONL = JsonlDialect(format="jsonl", compression="none", encoding="utf-8")
PARQUET = ParquetDialect(format="parquet")
SUFFIXES = {
    "csv": (".csv", ".tsv", ".tab", ".psv"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".parq", ".pq"),
}
"""Format → endings of the file names that a folder's files of this format have, before `.gz` or `.zst`."""
COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
"""Ending → compression."""
