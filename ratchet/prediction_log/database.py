"""The database of the prediction log: SQLite in write-ahead mode, or PostgreSQL by its URL, at the newest migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Engine, make_url

from ratchet.errors import SourceError

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7_302_517
"""Number of the advisory lock under which PostgreSQL is migrated: several servers may start at once."""


def open_database(url: str) -> Engine:
    """An engine on the log's database; tables are made or brought up to date first.

    SQLite keeps a write-ahead log (readers never wait) and syncs at its checkpoints: rows that were committed survive
    the death of the process, and a loss of power may cost the last commits but never the database.

    Raises:
        SourceError: the URL names no database that can be reached.
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
        _migrate(engine)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise SourceError(
            "The database of the prediction log cannot be opened.",
            where=_hidden(url),
            got=error,
            expected="sqlite:///path/to/file.db or postgresql://user@host/name",
            fix="check log.url, and that it runs",
        ) from None
    return engine


def migrations(engine: Engine, connection: Any = None) -> Any:
    """Alembic's configuration for the log's migrations, which are part of the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["engine"] = engine
    return config


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        config = migrations(engine, connection)
        newest = ScriptDirectory.from_config(config).get_current_head()
        if MigrationContext.configure(connection).get_current_revision() != newest:
            command.upgrade(config, "head")


def _set_pragmas(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _hidden(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "log.url"
