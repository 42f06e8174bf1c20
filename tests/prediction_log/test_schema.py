"""The schema of the log's database: made by two at once, newer, half made, of an earlier migration."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from sqlalchemy.engine import Connection

from ratchet.errors import SourceError
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.schema import migrations
from ratchet.prediction_log.tables import METADATA


def _change(url: str, *statements: str | Callable[[Connection], object]) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        for statement in statements:
            if callable(statement):
                statement(connection)
            else:
                connection.execute(sqlalchemy.text(statement))
    engine.dispose()


def _is_whole(url: str) -> bool:
    """Whether another start finds all tables, columns and indexes."""
    engine = open_database(url)
    inspector = sqlalchemy.inspect(engine)
    whole = all(
        {column["name"] for column in inspector.get_columns(table.name)} == {column.name for column in table.columns}
        and {index.name for index in table.indexes} <= {index["name"] for index in inspector.get_indexes(table.name)}
        for table in METADATA.sorted_tables
    )
    engine.dispose()
    return whole


ROW = (
    "INSERT INTO feedback (timestamp, request_id, kind, value) VALUES (1, 'r1', 'thumb', 1.0)",
    "SELECT count(*) FROM feedback",
)


@pytest.mark.parametrize(
    "damage",
    [
        ["DROP TABLE alembic_version", "DROP TABLE predictions"],
        ["DROP TABLE alembic_version"],
        ["DELETE FROM alembic_version", "DROP INDEX ix_feedback_timestamp"],
        ["DROP TABLE rate_use"],
        ["UPDATE alembic_version SET version_num = 'a1'", "DROP TABLE shared_state"],
    ],
    ids=["killed half way", "no number", "no index", "a table is gone", "of the next migration half"],
)
def test_a_half_made_schema_is_repaired_and_keeps_its_rows(url: str, damage: Sequence[str]) -> None:
    _change(url, ROW[0], *damage)
    assert _is_whole(url)
    engine = open_database(url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text(ROW[1])).scalar() == 1
    engine.dispose()


def test_a_log_of_the_first_migration_is_brought_up_to_date_and_keeps_its_rows(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(ROW[0]))
        command.downgrade(migrations(engine, connection), "a1")
    engine.dispose()
    assert _is_whole(url)
    _change(url, lambda connection: _equal(connection.execute(sqlalchemy.text(ROW[1])).scalar(), 1))


def _equal(found: object, expected: object) -> None:
    assert found == expected


def test_a_table_with_other_columns_is_one_message_unless_it_is_empty(url: str) -> None:
    half = ["DROP TABLE feedback", "CREATE TABLE feedback (n INTEGER PRIMARY KEY, words TEXT)", "DROP TABLE rate_use"]
    _change(url, *half)
    assert _is_whole(url)
    _change(url, *half, "INSERT INTO feedback VALUES (1, 'secret')")
    with pytest.raises(SourceError, match="table feedback") as error:
        open_database(url)
    assert "rename the table" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_newer_log_is_one_message(url: str) -> None:
    _change(url, "UPDATE alembic_version SET version_num = 'z9'")
    with pytest.raises(SourceError, match="newer than this Ratchet") as error:
        open_database(url)
    assert "z9" in str(error.value)


STARTS = "from ratchet.prediction_log.database import open_database; import sys; open_database(sys.argv[1]).dispose()"


def test_a_server_waits_for_one_that_makes_the_file_at_the_same_moment(tmp_path: Path) -> None:
    """SQLite refuses at once to turn the write-ahead log on while somebody writes, whatever its timeout."""
    writer = sqlite3.connect(tmp_path / "log.db", isolation_level=None, check_same_thread=False)
    writer.execute("CREATE TABLE others (a)")
    writer.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.5, lambda: writer.execute("COMMIT"))
    ends.start()
    open_database(f"sqlite:///{tmp_path}/log.db").dispose()
    ends.join()
    writer.close()
    reader = sqlite3.connect(tmp_path / "log.db")
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.close()


def test_servers_that_start_at_once_make_it_once(url: str) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", STARTS, url], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [child.communicate(timeout=120)[1] for child in children] == [""] * 4
    assert [child.returncode for child in children] == [0] * 4
    assert _is_whole(url)
