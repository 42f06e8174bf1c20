"""The database of the prediction log: SQLite in write-ahead mode, or PostgreSQL by its URL, at the newest migration."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection, Engine, make_url

from ratchet.errors import SourceError
from ratchet.prediction_log.schema import LOCK, is_up_to_date, update

BUSY_S = 30
"""How long SQLite waits for others who write, or make the database."""


def open_database(url: str) -> Engine:
    """An engine on the log's database; tables are made, repaired or brought up to date first.

    SQLite keeps a write-ahead log (readers never wait) and syncs at its checkpoints: rows that were committed survive
    the death of the process, and a loss of power may cost the last commits but never the database. What is deleted is
    overwritten with zeros.

    Raises:
        SourceError: the URL names no database that can be reached, or it is that of a newer Ratchet, or a table of it
            has other columns and holds rows.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sqlalchemy.create_engine(parsed, pool_pre_ping=True)
        if engine.dialect.name == "sqlite":
            sqlalchemy.event.listen(engine, "connect", _set_pragmas)
        try:
            _bring_up_to_date(engine, _hidden(url))
        except BaseException:
            engine.dispose()
            raise
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise SourceError(
            "The database of the prediction log cannot be opened.",
            where=_hidden(url),
            got=getattr(error, "orig", None) or type(error).__name__,
            expected="sqlite:///path/to/file.db or postgresql://user@host/name",
            fix="check log.url, and that it runs",
        ) from None
    return engine


def _bring_up_to_date(engine: Engine, where: str) -> None:
    with engine.connect() as connection:
        ready = is_up_to_date(connection)
    if not ready:
        with exclusive(engine, LOCK) as connection:
            update(connection, where)


@contextmanager
def exclusive(engine: Engine, number: int) -> Iterator[Connection]:
    """A transaction that one process holds at a time; committed when the block ends without an error.

    On SQLite nobody else writes meanwhile; on PostgreSQL nobody else enters the block of that number.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        yield connection
        connection.commit()


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={1000 * BUSY_S}", "synchronous=NORMAL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Turn the write-ahead log on, where nobody has yet: for that SQLite waits for nobody, whatever its timeout."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def _hidden(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "log.url"
