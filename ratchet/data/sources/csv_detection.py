"""The dialect of a CSV file: the one in which the reader itself can read most records of a sample."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from ratchet.data.sources.csv_files import read_csv, records
from ratchet.data.sources.dialect import CSV, CsvDialect, Encoding
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.streams import Lines
from ratchet.errors import SourceError

DELIMITERS = (",", "\t", ";", "|", "\x01", "^", "~")
QUOTES = (('"', "doubled"), ('"', "backslash"), ("", "none"), ("'", "doubled"), ("'", "backslash"))
MAX_RECORDS = 2_000
"""Records by which a header is told."""
NAME_LENGTH = 100
"""Characters beyond which the first field of a column is no name."""
_NUMBER = re.compile(r"\s*[+-]?\d+(?:[.,]\d+)?\s*")


class Candidate(NamedTuple):
    """A dialect and what it makes of the sample; the best is the largest."""

    share: float
    """Records that can be read exactly, of all, to two digits."""
    n_columns: int
    exact_share: float
    n_quoted: int
    """Fields that a quote opens."""
    order: int
    """Minus its place among the candidates: the commonest come first."""
    dialect: CsvDialect


def detect_csv(text: str, encoding: Encoding, lone: str = "") -> CsvDialect:
    """Delimiter, quotes, header and what columns without a name are, by the beginning of a file in whole lines.

    Args:
        text: the beginning.
        encoding: of the file.
        lone: the name of a column that may be the only one; empty: a file of one column is none.

    Raises:
        SourceError: no delimiter makes columns of it.
    """
    named = {"compression": "none", "encoding": encoding}
    pairs = itertools.product(DELIMITERS, QUOTES)
    alone = bool(lone) and text.partition("\n")[0].strip().strip("\"'\ufeff") == lone
    candidates = [
        candidate
        for order, (delimiter, (quote, escape)) in enumerate(pairs)
        if (delimiter in text or alone) and (not quote or quote in text or quote == CSV.quote)
        if (
            candidate := _candidate(
                text, CSV.model_copy(update={**named, **_mapping(delimiter, quote, escape)}), order, alone
            )
        )
    ]
    if not candidates:
        raise SourceError(
            "No delimiter makes columns of the file.",
            got=repr(text[:120]),
            expected=f"fields separated by {' or '.join(map(repr, DELIMITERS[:4]))}; JSON Lines; or Parquet",
            fix="write the file as CSV, JSONL or Parquet, with a column for the text and one for the label",
        )
    dialect = max(candidates).dialect
    first = list(itertools.islice(_records(text, dialect), MAX_RECORDS))
    dialect = dialect.model_copy(update={"header": _has_header(first)})
    return dialect.model_copy(update={"unnamed": _unnamed(first) if dialect.header else "refuse"})


def lines_of(text: str) -> Lines:
    """A text as the lines of a file."""
    data = io.BytesIO(text.encode("utf-8", "surrogateescape"))
    return Lines(io.TextIOWrapper(data, encoding="utf-8", errors="surrogateescape", newline=""), "utf-8", "the sample")


def _mapping(delimiter: str, quote: str, escape: str) -> dict[str, str]:
    return {"delimiter": delimiter, "quote": quote, "escape": escape}


def _records(text: str, dialect: CsvDialect) -> Iterator[list[str]]:
    return (fields for _, _, fields, _ in records(lines_of(text), dialect) if fields)


def _candidate(text: str, dialect: CsvDialect, order: int, alone: bool) -> Candidate | None:
    """None: it makes no columns, or leaves quotes standing around fields."""
    first = next(_records(text, dialect), [])
    if (len(first) == 1) != alone or not first:
        return None
    if not dialect.quote and _are_quoted(text, dialect):
        return None
    # names do not matter here, and a record of another length is bad
    plain = dialect.model_copy(update={"header": False})
    reading = Reading(len(text))
    reading.start("the sample")
    n_rows = sum(len(rows.lines) for rows in read_csv(lines_of(text), plain, [], reading, "the sample", 1_000))
    share = n_rows / max(1, n_rows + reading.files[0].n_bad)
    opening = rf"(?:^|{re.escape(dialect.delimiter)}){dialect.quote}"
    n_quoted = len(re.findall(opening, text, re.MULTILINE)) if dialect.quote else 0
    if dialect.quote == "'" and 2 * n_quoted < n_rows:
        return None  # an apostrophe starts words as well
    return Candidate(round(share, 2), len(first), share, n_quoted, -order, dialect)


def _are_quoted(text: str, dialect: CsvDialect) -> bool:
    """Whether most fields that start with a quote end with one, read as if quotes were text."""
    fields = [field for row in itertools.islice(_records(text, dialect), MAX_RECORDS) for field in row]
    for quote in ('"', "'"):
        opened = [field for field in fields if field.startswith(quote) and len(field) > 1]
        if opened and 2 * sum(field.endswith(quote) for field in opened) > len(opened):
            return True
    return False


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first record names columns: no numbers, no long texts, and nothing that its column repeats."""
    first, rest = rows[0], rows[1:]
    named = [name for name in first if name.strip()]
    if not named or any(_NUMBER.fullmatch(name) or len(name) > NAME_LENGTH for name in named):
        return False
    for place, name in enumerate(first):
        values = Counter(row[place] for row in rest if place < len(row))
        if name.strip() and values[name] > 1:
            return False
    return True


def _unnamed(rows: list[list[str]]) -> str:
    """What a value under a column without a name is, by how many there are and where."""
    first, rest = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    unnamed = [place for place, name in enumerate(first) if not name.strip()]
    n_filled = sum(any(row[place] for place in unnamed) for row in rest)
    if not unnamed or not n_filled:
        return "refuse"
    if n_filled > len(rest) / 2:
        return "ignore"  # an index that a data frame wrote
    behind = min(unnamed) > max(place for place, name in enumerate(first) if name.strip())
    return "join" if behind else "refuse"
