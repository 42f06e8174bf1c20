"""Schema of the log's database: brought to the newest migration by one process at a time; half-made ones repaired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection, Engine

from ratchet.errors import SourceError
from ratchet.prediction_log.declarations import METADATA

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 7_302_517
"""Number of the advisory lock under which PostgreSQL is migrated: several servers may start at once."""


def migrations(engine: Engine, connection: Any = None) -> Any:
    """Alembic's configuration for the log's migrations, which are part of the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["engine"] = engine
    return config


def is_up_to_date(connection: Connection) -> bool:
    """Whether the database is at the newest migration, and all tables are there."""
    from alembic.runtime.migration import MigrationContext

    found = MigrationContext.configure(connection).get_current_revision()
    return found == _newest(connection) and not _missing(connection)


def update(connection: Connection, where: str) -> None:
    """Bring the database to the newest migration, inside of the caller's transaction.

    Tables without a migration's number (the process that made them was killed, or somebody dropped the number) are
    kept where they have all columns, and made anew where they are empty.

    Raises:
        SourceError: the database is newer; or a table has rows and other columns.
    """
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    engine = connection.engine
    config = migrations(engine, connection)
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise SourceError(
            "The database of the prediction log is newer than this Ratchet.",
            where=where,
            got=f"migration {found}",
            expected=f"one of {', '.join(sorted(known))}",
            fix="install the Ratchet that made it, or name another database in log.url",
        )
    inspector = sqlalchemy.inspect(connection)
    there = set(inspector.get_table_names()) & set(METADATA.tables)
    if not _later(found, there):
        command.upgrade(config, "head")
    else:
        command.stamp(config, "head", purge=True)
    _repair(connection, where)


def _later(revision: str | None, there: set[str]) -> bool:
    """Whether tables of a later migration than the one that is recorded are there already."""
    recorded = {None: set[str](), "a1": {"predictions", "feedback"}}.get(revision, there)
    return bool(there - recorded)


def _newest(connection: Connection) -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(migrations(connection.engine)).get_current_head()


def _missing(connection: Connection) -> set[str]:
    return set(METADATA.tables) - set(sqlalchemy.inspect(connection).get_table_names())


def _repair(connection: Connection, where: str) -> None:
    """Make what is missing; a table with other columns is made anew if it is empty.

    Raises:
        SourceError: it has rows.
    """
    inspector = sqlalchemy.inspect(connection)
    for table in METADATA.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        found = {column["name"] for column in inspector.get_columns(table.name)}
        if found != {column.name for column in table.columns}:
            if connection.execute(sqlalchemy.select(sqlalchemy.literal(1)).select_from(table).limit(1)).first():
                raise SourceError(
                    "A table of the prediction log has other columns than this Ratchet writes.",
                    where=f"{where}, table {table.name}",
                    got=", ".join(sorted(found)),
                    expected=", ".join(column.name for column in table.columns),
                    fix="rename the table, and start again",
                )
            table.drop(connection)
        else:
            there = {index["name"] for index in inspector.get_indexes(table.name)}
            for index in table.indexes:
                if index.name not in there:
                    index.create(connection)
    METADATA.create_all(connection)
