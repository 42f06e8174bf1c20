"""The columns of a CSV file by its header, and whether a record fits them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter

from ratchet.data.sources.dialect import CsvDialect
from ratchet.data.sources.reading import FileTally, Labels
from ratchet.data.sources.rows import require_columns
from ratchet.data.sources.streams import UNDECODABLE
from ratchet.data.sources.swallowed import swallowed_line
from ratchet.errors import SourceError
from ratchet.values import raw_value

BEYOND_ASCII = "records beyond ASCII, valid as {}"
UNPROVED = "records beyond ASCII, read by {}, which no byte proves"
NULS = "records with NUL"
SWALLOWED = "a quote that takes in the next record"
JOINED = "records joined over columns without a name"
IGNORED = "records with ignored values in columns without a name"
_QUOTES = {
    "expected after": "a quote closes, and text follows it",
    "unexpected end of data": "a quote opens, and the file ends before it closes",
    "unexpected end": "an escape, and the file ends",
}
"""Part of a message of `csv` → what it means."""

_EXPECTED = {
    "doubled": "quotes around whole fields, and doubled inside them",
    "backslash": "quotes around whole fields; a backslash before a quote, a delimiter, a line end or a backslash alone",
    "none": "quotes around whole fields, and none inside them",
}
"""Escape → how fields are written."""

Problem = tuple[str, str]
"""What was found, and what was expected."""


class Layout:
    """Which field of a record is which column."""

    def __init__(
        self, names: Sequence[str], dialect: CsvDialect, columns: Sequence[str], labels: Labels | None, where: str
    ) -> None:
        require_columns(where, columns, [name for name in names if name.strip()])
        if doubled := [name for name in columns if names.count(name) > 1]:
            raise SourceError(
                f"The header names the column {doubled[0]!r} twice: which one is meant?",
                where=where,
                got=", ".join(names),
                expected="each name once",
                fix="rename one of them in the file",
            )
        self._n, self._dialect = len(names), dialect
        proved = dialect.encoding.startswith("utf")
        self._beyond_ascii = (BEYOND_ASCII if proved else UNPROVED).format(dialect.encoding)
        self._expected = _EXPECTED[dialect.escape]
        picks = [names.index(name) for name in columns]
        self._pick = itemgetter(*picks) if len(picks) > 1 else lambda fields: [fields[place] for place in picks]
        self._unnamed = [place for place, name in enumerate(names) if not name.strip()]
        self._refused = self._unnamed if dialect.unnamed == "refuse" else []
        self._last = max(place for place, name in enumerate(names) if name.strip())
        if dialect.unnamed == "join" and any(place < self._last for place in self._unnamed):
            raise SourceError(
                "A column without a name stands between named ones, so its values continue none of them.",
                where=where,
                got=", ".join(names),
                expected="columns without a name behind the named ones",
                fix="name the columns in the file, or set ingest.source.dialect.unnamed to refuse or ignore",
            )
        self._label_at = names.index(labels.column) if labels and labels.column in names else None
        self._label_values = labels.values if labels else frozenset()
        self._grammar = grammar(dialect)

    def problem(
        self, fields: Sequence[str], error: str, text: str, taken: Sequence[str], tally: FileTally
    ) -> Problem | None:
        """Why the record cannot be read exactly; None: it can.

        Args:
            fields: of the record.
            error: what `csv` says of it; empty: nothing.
            text: all of it as it stands in the file.
            taken: its lines.
            tally: counts records with characters beyond ASCII.
        """
        if not text.isascii():
            tally.note(self._beyond_ascii)
            if wrong := UNDECODABLE.search(text):
                return (
                    f"byte 0x{ord(wrong[0]) - 0xDC00:02x}, which is no {self._dialect.encoding}",
                    self._dialect.encoding,
                )
        if "\0" in text:
            tally.note(NULS)
        if error:
            meaning = next((words for part, words in _QUOTES.items() if part in error), error)
            return meaning, self._expected
        if len(fields) != self._n:
            return f"{len(fields)} field{'s' * (len(fields) != 1)}", f"{self._n}, as in the first record"
        if self._grammar and not self._grammar.fullmatch(text):
            return UNGRAMMATICAL, self._expected
        if self._refused and any(fields[place] for place in self._refused):
            return "a value in a column without a name", "values in named columns alone"
        return self._swallowed(fields, taken) if len(taken) > 1 and self._label_at is not None else None

    def pick(self, fields: list[str], tally: FileTally) -> Sequence[str]:
        """The named columns of a record."""
        if self._unnamed and (filled := [place for place in self._unnamed if fields[place]]):
            if self._dialect.unnamed == "join":
                fields[self._last] = self._dialect.delimiter.join(fields[self._last : filled[-1] + 1])
            tally.note(JOINED if self._dialect.unnamed == "join" else IGNORED)
        return self._pick(fields)

    def _swallowed(self, fields: Sequence[str], taken: Sequence[str]) -> Problem | None:
        at = self._label_at or 0
        line = swallowed_line(taken, fields, at, self._is_label, self._dialect.delimiter, self._dialect.quote)
        if line is None:
            return None
        return (
            f"{SWALLOWED}, from its line {line + 1} on",
            "a quote that closes in its record",
        )

    def _is_label(self, value: str) -> bool:
        return raw_value(value) in self._label_values


UNGRAMMATICAL = "text behind a quote that closes, or a backslash that escapes nothing or is outside quotes"
"""What is wrong with a record that the grammar does not know."""


def grammar(dialect: CsvDialect) -> re.Pattern[str] | None:
    """A record whose quotes are not doubled: there `csv` takes text behind a closing quote, and any escape at all.

    None where they are doubled: `csv` is strict then.

    Of a backslash outside quotes readers make different things, so where there are quotes none may stand there.
    Possessive, so that the time is linear in the record's length.
    """
    if dialect.escape == "doubled":
        return None
    delimiter, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
    escaped = rf"|\\[\\{delimiter}{quote}\r\n]" if dialect.escape == "backslash" else ""
    stop = r"\\" if escaped else ""
    if not quote:
        plain = rf"(?:[^{delimiter}{stop}\r\n]{escaped})*+"
        return re.compile(rf"{plain}(?:{delimiter}{plain})*+[\r\n]*+")
    quoted = rf"{quote}(?:[^{quote}{stop}]{escaped})*+{quote}"
    field = rf"(?:{quoted}|(?!{quote})[^{delimiter}{stop}\r\n]*+)"
    return re.compile(rf"{field}(?:{delimiter}{field})*+[\r\n]*+")
