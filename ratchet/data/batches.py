"""A table as something that can be read from its start again, batch by batch, as often as a method needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.progress import Progress
from ratchet.table_files import read_batches, read_table
from ratchet.tables import Table

if TYPE_CHECKING:
    import pandas as pd

Batches = Callable[[Sequence[str]], Iterator["pd.DataFrame"]]
"""Reads a table from its start: the named columns of every row (all where none is named), in order, in batches."""


def batches(path: Path, table: Table) -> Batches:
    """A reader of the table at `path`, which checks each batch as `read_batches` does.

    A pass that takes more than two seconds says how far it is.
    """

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        progress = Progress(f"rows of {path.name}", _n_rows(path))
        for frame in read_batches(path, table, list(columns) or None):
            yield frame
            progress.add(len(frame))

    return read


def joined(frames: Iterable[pd.DataFrame], n_rows: int) -> Iterator[pd.DataFrame]:
    """The same rows in larger batches: of at least `n_rows` each, but for the last; at least one, if there is any."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    n_waiting = 0
    for frame in frames:
        waiting.append(frame)
        n_waiting += len(frame)
        if n_waiting >= n_rows:
            yield pd.concat(waiting, ignore_index=True)
            waiting, n_waiting = [], 0
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def _n_rows(path: Path) -> int | None:
    """By the file's footer; None where there is none, which reading tells."""
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowException):
        return None


def read_schema(path: Path, table: Table) -> Any:
    """The Arrow schema of the table at `path`.

    Raises:
        TableError: there is no such file.
    """
    import pyarrow.parquet

    if not path.is_file():
        read_table(path, table)  # says so
    return pyarrow.parquet.read_schema(path)
