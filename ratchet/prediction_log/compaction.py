"""Compaction of the prediction log: past hours move into Parquet files, which are deleted after their retention.

An hour is one transaction: its rows are read, its file is written beside the old one, brought to the disk and
renamed, then the rows that were read, and no others, are deleted. A run that was killed before it committed is repaired
by the next, which finds the rows in both and keeps each once. Two runs at a time wait for each other, on one machine or
on two.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Engine

from ratchet.files import replace_file
from ratchet.prediction_log.database import exclusive, open_database
from ratchet.prediction_log.tables import (
    DEAD_LETTERS,
    TABLES,
    TableName,
    arrow_schema,
    arrow_table,
    drop_repeats,
    hour_file,
    hour_files,
    microseconds,
)

GRACE = timedelta(minutes=2)
"""Delay after an hour's end until it is compacted: a writer may still have rows of it."""
_CHUNK = 20_000
"""Rows in memory at once."""
_DELETED_AT_ONCE = 10_000
"""Numbers of a statement: SQLite takes 32,766."""
LOCK = 7_302_518
"""Number of PostgreSQL's advisory lock: one run at a time, on whatever machine."""


@dataclass(frozen=True)
class Compaction:
    """Result of a compaction run."""

    n_rows: int
    """Rows moved into files."""
    n_files: int
    """Files written."""
    n_deleted: int
    """Files deleted because they were kept long enough."""

    def __str__(self) -> str:
        return f"{self.n_rows} rows into {self.n_files} files, {self.n_deleted} files deleted"


def compact_database(url: str, folder: Path, now: datetime, retention_days: int) -> Compaction:
    """`compact` for the database of that address.

    Raises:
        RatchetError: the database cannot be opened, or a file holds other columns.
    """
    engine = open_database(url)
    try:
        return compact(engine, folder, now, retention_days)
    finally:
        engine.dispose()


def compact(engine: Engine, folder: Path, now: datetime, retention_days: int) -> Compaction:
    """Move the rows of every hour that is over into its file, and delete what was kept for `retention_days`.

    Running it again changes nothing. Rows that come late for an hour that has a file are added to the file. Dead
    letters are deleted after as many days.
    """
    n_rows = n_files = n_deleted = 0
    oldest = now - timedelta(days=retention_days)
    with alone(folder):
        for name in TABLES:
            table: TableName = name  # type: ignore[assignment]
            for hour in _past_hours(engine, table, now):
                n_rows += _move(engine, folder, table, hour)
                n_files += 1
            for hour, path in hour_files(folder, table):
                if hour + timedelta(hours=1) <= oldest:
                    path.unlink()
                    n_deleted += 1
                    if not any(path.parent.iterdir()):
                        path.parent.rmdir()
        with engine.begin() as connection:
            old = DEAD_LETTERS.c.timestamp < microseconds(oldest)
            connection.execute(sqlalchemy.delete(DEAD_LETTERS).where(old))
    return Compaction(n_rows, n_files, n_deleted)


def _past_hours(engine: Engine, table: TableName, now: datetime) -> list[datetime]:
    """The hours that are over and have rows in the database."""
    latest = (now - GRACE).replace(minute=0, second=0, microsecond=0)
    column = TABLES[table].c.timestamp
    hour_us = 3_600_000_000
    with engine.connect() as connection:
        hours = sqlalchemy.select((column - column % hour_us).distinct()).where(column < microseconds(latest))
        return sorted(datetime.fromtimestamp(int(us) // 1_000_000, now.tzinfo) for us in connection.scalars(hours))


def _move(engine: Engine, folder: Path, table: TableName, hour: datetime) -> int:
    import pyarrow.parquet as pq

    declared = TABLES[table]
    start, end = microseconds(hour), microseconds(hour + timedelta(hours=1))
    within = (declared.c.timestamp >= start) & (declared.c.timestamp < end)
    path, read = hour_file(folder, table, hour), []
    with exclusive(engine, LOCK) as connection:
        query = sqlalchemy.select(declared).where(within).order_by(declared.c.timestamp, declared.c.n)
        with replace_file(path) as partial:
            result = connection.execute(query.execution_options(yield_per=_CHUNK))
            with pq.ParquetWriter(partial, arrow_schema(table), compression="zstd") as writer:
                kept = pq.ParquetFile(path).read() if path.exists() else None
                if kept is not None:
                    writer.write_table(kept)
                for chunk in result.partitions():
                    read += [row[0] for row in chunk]
                    writer.write_table(_new(arrow_table(table, [row[1:] for row in chunk]), kept, table))
            sync(partial)
        sync(path.parent, path.parent.parent)
        # by number: a row of the same hour that was committed meanwhile was not read, whatever its number is
        for at in range(0, len(read), _DELETED_AT_ONCE):
            numbers = read[at : at + _DELETED_AT_ONCE]
            connection.execute(sqlalchemy.delete(declared).where(declared.c.n.in_(numbers)))
    return len(read)


def sync(*paths: Path) -> None:
    """Bring files, or the names in folders, to the disk."""
    for path in paths:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _new(rows: Any, kept: Any, table: TableName) -> Any:
    """The rows that are not among those kept already."""
    import pyarrow

    if kept is None:
        return rows
    joined = drop_repeats(pyarrow.concat_tables([kept, rows]), table)
    return joined.slice(kept.num_rows)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else on this machine compacts or erases in the folder meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
