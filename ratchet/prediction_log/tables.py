"""Tables of the prediction log, predictions and feedback: declared once, read as Arrow tables.

Rows are written to a database (`log_writer`), and compacted to Parquet by the hour (`log_compaction`). `read_log` reads
either, or both together. An answered row (status 200) has all its columns; one that was refused or failed has no text,
no prediction and no probabilities: it is there to be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Float, Integer, LargeBinary, String, Text, select

from ratchet.errors import TableError
from ratchet.prediction_log.declarations import DEAD_LETTERS as DEAD_LETTERS
from ratchet.prediction_log.declarations import FEEDBACK as FEEDBACK
from ratchet.prediction_log.declarations import KEYS as KEYS
from ratchet.prediction_log.declarations import METADATA as METADATA
from ratchet.prediction_log.declarations import PREDICTIONS as PREDICTIONS
from ratchet.prediction_log.declarations import RATE_USE as RATE_USE
from ratchet.prediction_log.declarations import SHARED_STATE as SHARED_STATE
from ratchet.prediction_log.declarations import TABLES as TABLES
from ratchet.prediction_log.declarations import TableName as TableName

if TYPE_CHECKING:
    import pyarrow

_CHUNK = 20_000
"""Rows of the database that are Python objects at once."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """A moment as the database holds it: microseconds since 1970, UTC.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def arrow_schema(name: TableName) -> pyarrow.Schema:
    """The columns of a table as Arrow has them, in the declared order.

    >>> print(arrow_schema("feedback").to_string())
    timestamp: timestamp[us, tz=UTC] not null
    request_id: string not null
    kind: string not null
    value: double
    label: string
    """
    import pyarrow

    types: dict[type, Any] = {
        BigInteger: pyarrow.timestamp("us", tz="UTC"),
        Integer: pyarrow.int32(),
        Float: pyarrow.float64(),
        LargeBinary: pyarrow.list_(pyarrow.float32()),
        String: pyarrow.string(),
        Text: pyarrow.string(),
    }
    columns = [column for column in TABLES[name].columns if column.name != "n"]
    return pyarrow.schema([pyarrow.field(column.name, types[type(column.type)], column.nullable) for column in columns])


def arrow_table(name: TableName, rows: Sequence[Sequence[Any]], schema: pyarrow.Schema | None = None) -> pyarrow.Table:
    """Rows of the database, without their `n`, as an Arrow table; `schema` names the columns, by default all."""
    import numpy as np
    import pyarrow

    schema = schema or arrow_schema(name)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = []
    for field, column in zip(schema, columns, strict=True):
        values: Sequence[Any] = column
        if field.name == "proba":
            values = [None if value is None else np.frombuffer(value, dtype="<f4") for value in column]
        arrays.append(pyarrow.array(values, field.type))
    return pyarrow.table(arrays, schema)


def read_log(
    sources: str | Path | Sequence[str | Path],
    since: datetime | None = None,
    until: datetime | None = None,
    table: TableName = "predictions",
    columns: Sequence[str] | None = None,
) -> pyarrow.Table:
    """The rows with since ≤ timestamp < until, the earliest first, each once.

    Only the hours of that time are opened, and only the named columns are read: memory follows what is asked for.

    Args:
        sources: a folder of compacted files, a database's URL, or several of them: rows move from the database to the
            folder, so read the database first. A folder that does not exist yet has no rows.
        since: aware; None: from the first row.
        until: aware; None: to the last.
        table: which one.
        columns: those to return; None: all.

    Raises:
        TableError: a compacted file does not hold the declared columns.
    """
    import pyarrow

    schema = arrow_schema(table)
    wanted = [name for name in schema.names if columns is None or name in {*columns, *KEYS[table], "timestamp"}]
    schema = pyarrow.schema([schema.field(name) for name in wanted])
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    readers = [_from_database if "://" in str(source) else _from_folder for source in listed]
    parts = [read(source, since, until, table, schema) for read, source in zip(readers, listed, strict=True)]
    found = pyarrow.concat_tables([schema.empty_table(), *parts])
    if len(listed) > 1:
        found = drop_repeats(found, table)
    found = found.sort_by("timestamp")
    return found if columns is None else found.select(list(columns))


def drop_repeats(rows: pyarrow.Table, table: TableName) -> pyarrow.Table:
    """The rows without those whose key an earlier row has."""
    import numpy as np
    import pyarrow

    numbered = rows.select(KEYS[table]).append_column("row", pyarrow.array(np.arange(rows.num_rows)))
    first = numbered.group_by(KEYS[table]).aggregate([("row", "min")])["row_min"].to_numpy()
    return rows if len(first) == rows.num_rows else rows.take(np.sort(first))


def hour_files(folder: Path, table: TableName) -> list[tuple[datetime, Path]]:
    """The compacted files of a table with the hours that they hold, the earliest first."""
    found = []
    for path in sorted((folder / table).glob("date=*/hour=*.parquet")):
        day, hour = path.parent.name.removeprefix("date="), path.stem.removeprefix("hour=")
        found.append((datetime.fromisoformat(f"{day}T{hour}:00:00+00:00"), path))
    return found


def hour_file(folder: Path, table: TableName, hour: datetime) -> Path:
    """Where the rows of an hour are kept: `predictions/date=2026-01-31/hour=07.parquet`."""
    return folder / table / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}.parquet"


def _from_folder(
    folder: str | Path, since: datetime | None, until: datetime | None, table: TableName, schema: pyarrow.Schema
) -> pyarrow.Table:
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    declared, parts = arrow_schema(table).names, []
    for hour, path in hour_files(Path(folder), table):
        if (until is not None and hour >= until) or (since is not None and hour + timedelta(hours=1) <= since):
            continue
        with pq.ParquetFile(path) as file:
            if file.schema_arrow.names != declared:
                raise TableError(
                    "A compacted file holds other columns than the log.",
                    where=path,
                    got=file.schema_arrow.names,
                    expected=declared,
                    fix="move the file away, or read it by itself",
                )
            part = file.read(columns=schema.names)
        keep = pc.is_valid(part["timestamp"])
        for moment, holds in ((since, pc.greater_equal), (until, pc.less)):
            if moment is not None:
                keep = pc.and_(keep, holds(part["timestamp"], pyarrow.scalar(moment, schema.field("timestamp").type)))
        parts.append(part.cast(schema).filter(keep))
    return pyarrow.concat_tables([schema.empty_table(), *parts])


def _from_database(
    url: str | Path, since: datetime | None, until: datetime | None, table: TableName, schema: pyarrow.Schema
) -> pyarrow.Table:
    import pyarrow

    from ratchet.prediction_log.database import open_database

    declared, parts = TABLES[table], [schema.empty_table()]
    query = select(*(declared.c[name] for name in schema.names))
    if since is not None:
        query = query.where(declared.c.timestamp >= microseconds(since))
    if until is not None:
        query = query.where(declared.c.timestamp < microseconds(until))
    engine = open_database(str(url))
    try:
        with engine.connect() as connection:
            rows = connection.execution_options(yield_per=_CHUNK).execute(query)
            parts += [arrow_table(table, chunk, schema) for chunk in rows.partitions()]
        return pyarrow.concat_tables(parts)
    finally:
        engine.dispose()
