"""What one pass over a source keeps account of: every record is a row, a bad row, or excluded by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ratchet.errors import SourceError

MAX_SUSPECTED = 0.01
"""Share of a file's records that may be set aside on a suspicion alone."""
MAX_SHOWN = 120
"""Characters of a record that a message shows."""


class BadRow(NamedTuple):
    """A record that cannot be read exactly."""

    file: str
    """The file, as messages call it."""
    line: int
    """Its first line, from 1; of Parquet, its row."""
    n_lines: int
    """The lines it takes; 0: the format has none."""
    found: str
    """What is wrong with it."""
    expected: str
    """What would be right."""
    raw: bytes
    """Its bytes, as they stand in the file once decompressed."""


@dataclass
class FileTally:
    """Where the records of one file went."""

    file: str
    n_records: int = 0
    """Records that the file holds, a header not among them."""
    n_rows: int = 0
    """Those that were read."""
    n_bad: int = 0
    """Those that were set aside."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Name of a kind of record that is no row, such as `blank lines` → how many."""
    noted: dict[str, int] = field(default_factory=dict)
    """Name of a thing that a person should know of, such as `records with characters beyond ASCII` → how many rows."""

    def exclude(self, name: str) -> None:
        """Count a record that is no row."""
        self.excluded[name] = self.excluded.get(name, 0) + 1

    def note(self, name: str, n: int = 1) -> None:
        """Count rows that a person should know of."""
        self.noted[name] = self.noted.get(name, 0) + n

    def require_balance(self) -> None:
        """Nothing, if each record is accounted for.

        Raises:
            SourceError: the reader has lost or made up some.
        """
        accounted = self.n_rows + self.n_bad + sum(self.excluded.values())
        if accounted != self.n_records:
            raise SourceError(
                "Records are lost or made up: please report it.",
                where=self.file,
                got=f"{self.n_rows} rows + {self.n_bad} bad + {self.excluded} = {accounted}",
                expected=f"{self.n_records} records",
            )

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


class Labels(NamedTuple):
    """What a label looks like: it tells a text that has swallowed the next record."""

    column: str
    values: frozenset[str]
    """As `raw_value` writes them."""


class Reading:
    """One pass over a source: the tolerance, and the tally of each file."""

    def __init__(self, max_bad_rows: int = 0, labels: Labels | None = None) -> None:
        self.max_bad_rows, self.labels = max_bad_rows, labels
        self.files: list[FileTally] = []
        self.left_out: list[tuple[str, str]] = []
        """Names of what lies in the folder and is not read, each with the reason."""
        self.sha256 = ""
        """Of the files, or of the rows of what has none; known at the end."""
        self._n_bad = 0
        self._suspected: list[BadRow] = []

    @property
    def n_rows(self) -> int:
        """Rows that were read so far."""
        return sum(tally.n_rows for tally in self.files)

    def start(self, file: Path | str) -> FileTally:
        """The tally of the next file."""
        self.files.append(FileTally(str(file)))
        return self.files[-1]

    def set_aside(self, row: BadRow, suspected: bool = False) -> BadRow:
        """Count a bad row of the current file, and give it back.

        Args:
            row: the record.
            suspected: it is well-formed, and only what labels look like speaks against it: it does not count against
                the tolerance, unless there are too many at the end of the file.

        Raises:
            SourceError: there are more than the tolerance allows.
        """
        if suspected:
            self.files[-1].n_bad += 1
            self._suspected.append(row._replace(raw=row.raw[: MAX_SHOWN + 1]))
            return row
        self._n_bad += 1
        if self._n_bad > self.max_bad_rows:
            raise self._too_many(row)
        self.files[-1].n_bad += 1
        return row

    def require_few_suspected(self) -> None:
        """Nothing, unless so many records of the file are suspected that the suspicion, or the dialect, is wrong.

        Raises:
            SourceError: they are more than `MAX_SUSPECTED` of the records, and than the tolerance.
        """
        suspected, self._suspected = self._suspected, []
        if len(suspected) > max(self.max_bad_rows, 1, MAX_SUSPECTED * self.files[-1].n_records):
            raise self._too_many(suspected[0])

    def _too_many(self, row: BadRow) -> SourceError:
        return SourceError(
            "A record cannot be read exactly.",
            where=f"{row.file}, {'line' if row.n_lines else 'row'} {row.line}{_to(row)}",
            got=f"{row.found}: {_shown(row.raw)}",
            expected=row.expected,
            fix="correct the record, or the dialect in ingest.source.dialect; or set more than "
            f"{self.max_bad_rows:,} aside with ingest.source.max_bad_rows: their bytes are kept",
        )


def _to(row: BadRow) -> str:
    return f" to {row.line + row.n_lines - 1}" if row.n_lines > 1 else ""


def _shown(raw: bytes) -> str:
    text = repr(raw[: MAX_SHOWN + 1].decode("utf-8", "backslashreplace"))
    return text if len(raw) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(raw):,} bytes)"
