"""A table as something that can be read from its start again, batch by batch, as often as a method needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.table_files import read_batches, read_table
from ratchet.tables import Table

if TYPE_CHECKING:
    import pandas as pd

Batches = Callable[[Sequence[str]], Iterator["pd.DataFrame"]]
"""Reads a table from its start: the named columns of every row (all where none is named), in order, in batches."""


def batches(path: Path, table: Table) -> Batches:
    """A reader of the table at `path`, which checks each batch as `read_batches` does."""
    return lambda columns: read_batches(path, table, list(columns) or None)


def read_schema(path: Path, table: Table) -> Any:
    """The Arrow schema of the table at `path`.

    Raises:
        TableError: there is no such file.
    """
    import pyarrow.parquet

    if not path.is_file():
        read_table(path, table)  # says so
    return pyarrow.parquet.read_schema(path)
