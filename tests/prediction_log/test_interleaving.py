"""Compaction and erasure beside writers: every row is kept once, and what is erased is nowhere."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy

from ratchet.data.cleaning import text_id
from ratchet.prediction_log import compaction
from ratchet.prediction_log.compaction import compact
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.dead_letters import dead_letter
from ratchet.prediction_log.erasure import Erased, erase
from ratchet.prediction_log.tables import DEAD_LETTERS, FEEDBACK, PREDICTIONS, read_log
from ratchet.prediction_log.writer import LogWriter
from tests.support.live_rows import prediction, thumb

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
PAST = NOW - timedelta(hours=2)


def test_a_row_with_a_lower_number_that_is_committed_meanwhile_is_not_deleted(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction took its number before the compaction read, and commits after: PostgreSQL numbers that way."""
    engine = open_database(url)
    slow = engine.connect()
    if engine.dialect.name == "postgresql":  # SQLite has one writer at a time: there the row comes wholly after
        slow.execute(sqlalchemy.insert(PREDICTIONS), [prediction("slow", PAST)])
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(PREDICTIONS), [prediction("quick", PAST)])
    synced = compaction.sync

    def sync(*paths: Path) -> None:
        synced(*paths)
        if slow.in_transaction():
            slow.commit()

    monkeypatch.setattr(compaction, "sync", sync)
    assert compact(engine, tmp_path / "log", NOW, 30).n_rows == 1
    if engine.dialect.name == "sqlite":
        slow.execute(sqlalchemy.insert(PREDICTIONS), [prediction("slow", PAST)])
        slow.commit()
    slow.close()
    assert read_log(url)["request_id"].to_pylist() == ["slow"]
    assert sorted(read_log([url, tmp_path / "log"])["request_id"].to_pylist()) == ["quick", "slow"]
    engine.dispose()


def test_nothing_is_lost_beside_two_writers(url: str, tmp_path: Path) -> None:
    engine = open_database(url)
    engines = [open_database(url) for _ in range(2)]
    writers = [LogWriter(own, 20, 5, 100_000) for own in engines]

    def write(name: int) -> None:
        for n in range(300):
            writers[name].add("predictions", [prediction(f"{name}-{n}", PAST + timedelta(seconds=n % 7))])

    threads = [threading.Thread(target=write, args=(name,)) for name in range(2)]
    for thread in threads:
        thread.start()
    n_moved = sum(compact(engine, tmp_path / "log", NOW, 30).n_rows for _ in range(8))
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.close(60)
        assert writer.n_dropped == writer.n_refused == 0
    n_moved += compact(engine, tmp_path / "log", NOW, 30).n_rows
    kept = read_log(tmp_path / "log")["request_id"].to_pylist()
    assert n_moved == len(kept) == len(set(kept)) == 600
    assert read_log(url).num_rows == 0
    for own in (engine, *engines):
        own.dispose()


def test_the_file_is_on_the_disk_before_its_rows_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, steps = f"sqlite:///{tmp_path}/log.db", list[str]()
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(PREDICTIONS), [prediction("r1", PAST)])

    synced, delete = compaction.sync, sqlalchemy.delete

    def sync(*paths: Path) -> None:
        steps.extend(path.suffix or "folder" for path in paths)
        synced(*paths)

    def delete_from(table: sqlalchemy.Table) -> sqlalchemy.Delete:
        steps.append(table.name)
        return delete(table)

    monkeypatch.setattr(compaction, "sync", sync)
    monkeypatch.setattr("sqlalchemy.delete", delete_from)
    compact(engine, tmp_path / "log", NOW, 30)
    engine.dispose()
    assert steps == [".partial", "folder", "folder", "predictions", "dead_letters"]


def test_a_text_is_erased_from_every_copy(url: str, tmp_path: Path) -> None:
    folder, engine = tmp_path / "log", open_database(url)
    rows = [prediction(f"r{n}", moment, text=text) for n, (moment, text) in enumerate(_COPIES)]
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(PREDICTIONS), rows[:2])
        connection.execute(sqlalchemy.insert(FEEDBACK), [thumb("r0", PAST), thumb("r1", PAST)])
    compact(engine, folder, NOW, 30)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(PREDICTIONS), rows[2:])
        connection.execute(sqlalchemy.insert(FEEDBACK), [thumb("r2", NOW), thumb("r3", NOW)])
        for n in (0, 1):
            letter = dead_letter("predictions", {"request_id": f"d{n}", "text": _COPIES[n][1]}, ValueError())
            connection.execute(sqlalchemy.insert(DEAD_LETTERS), letter)
    assert erase(url, folder, [text_id("Ann's  secret")]) == Erased(2, 2, 1, 2)
    assert erase(url, folder, [text_id("Ann's  secret")]) == Erased(0, 0, 0, 0)
    assert read_log([url, folder])["request_id"].to_pylist() == ["r1", "r3"]
    assert read_log([url, folder], table="feedback")["request_id"].to_pylist() == ["r1", "r3"]
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.select(DEAD_LETTERS.c.request_id)).scalars().all() == ["d1"]
    engine.dispose()
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret" not in left
    assert url.startswith("postgresql") or b"harmless" in left


_COPIES = [(PAST, "Ann's secret"), (PAST, "harmless"), (NOW, "ann's secret"), (NOW, "harmless")]


def test_dead_letters_end_with_their_retention(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/log.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(DEAD_LETTERS), dead_letter("feedback", {"request_id": "r"}, ValueError()))
    for later, n_left in ((29, 1), (31, 0)):
        compact(engine, tmp_path / "log", datetime.now(UTC) + timedelta(days=later), 30)
        with engine.connect() as connection:
            assert len(connection.execute(sqlalchemy.select(DEAD_LETTERS.c.n)).all()) == n_left
    engine.dispose()
