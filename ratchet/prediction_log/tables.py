"""Tables of the prediction log, predictions and feedback: declared once, read as Arrow tables.

Rows are written to a database (`log_writer`), and compacted to Parquet by the hour (`log_compaction`). `read_log` reads
either, or both together. An answered row (status 200) has all its columns; one that was refused or failed has no text,
no prediction and no probabilities: it is there to be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text, select

from ratchet.errors import TableError

if TYPE_CHECKING:
    import pyarrow

TableName = Literal["predictions", "feedback"]
METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of writing; not in the Parquet files"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when the answer was ready, UTC"),
    Column("request_id", String(64), nullable=False, comment="one for each text; feedback names it"),
    Column("text", Text, comment="the text, personal data masked as the params say"),
    Column("predicted", String(200), comment="the class that was answered"),
    Column("confidence", Float(53), comment="its probability"),
    Column(
        "model_version",
        String(200),
        nullable=False,
        comment="release tag of the bundle that answered, or its name@hash",
    ),
    Column("proba", LargeBinary, comment="probabilities in the class order of the bundle, float32"),
    Column("latency_ms", Float(53), nullable=False, comment="from the request's arrival to its answer"),
    Column("status", Integer, nullable=False, comment="HTTP status of the answer: 200, 429, 500"),
    Column("key_id", String(64), nullable=False, comment="which API key asked; empty where none is needed"),
    Column("arm", String(16), nullable=False, comment="champion, challenger or shadow"),
    Column("experiment", String(200), nullable=False, comment="the experiment that was on; empty for none"),
    sqlite_autoincrement=True,  # else SQLite gives the numbers of deleted rows again
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of writing; not in the Parquet files"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when the feedback came, UTC"),
    Column("request_id", String(64), nullable=False, comment="of the prediction that it is about"),
    Column("kind", String(16), nullable=False, comment="thumb or correction"),
    Column("value", Float(53), comment="thumb: 1 for up, 0 for down; none for a correction"),
    Column("label", String(200), comment="correction: the class that is right; none for a thumb"),
    sqlite_autoincrement=True,
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of setting aside"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when it was set aside, UTC"),
    Column("request_id", String(64), nullable=False, comment="of the row"),
    Column("origin", String(32), nullable=False, comment="the table that refused it"),
    Column("error", String(200), nullable=False, comment="kind of the error"),
    Column("text_id", String(16), comment="hash of the text, by which it is found to be erased"),
    Column("content", LargeBinary, nullable=False, comment="the row as JSON; without its text unless masked"),
    sqlite_autoincrement=True,
)
"""Rows that the database refused: set aside whole, so that they can be repaired and written later."""

SHARED_STATE = Table(
    "shared_state",
    METADATA,
    Column("name", String(64), primary_key=True, comment="keys, champion or experiment"),
    Column("content", Text, nullable=False, comment="what the file of that name would hold"),
    Column("changed", BigInteger, nullable=False, comment="when it was written, UTC"),
)

RATE_USE = Table(
    "rate_use",
    METADATA,
    Column("key_id", String(64), primary_key=True, comment="the API key"),
    Column("minute", BigInteger, primary_key=True, comment="minutes since 1970"),
    Column("n_texts", BigInteger, nullable=False, comment="texts of that minute, at all servers"),
)

TABLES = {"predictions": PREDICTIONS, "feedback": FEEDBACK}
KEYS = {"predictions": ("request_id", "arm"), "feedback": ("request_id", "timestamp", "kind")}
"""Columns of each table's key: a row with the key of an earlier one is the same row, read twice."""
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
