"""The prediction log: written in batches, killed, compacted, read; on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from ratchet.data.cleaning import text_id
from ratchet.data.rules.suites import read_suite
from ratchet.errors import SourceError, TableError
from ratchet.params import load_params
from ratchet.prediction_log.compaction import Compaction, compact
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.rules import judge_log
from ratchet.prediction_log.schema import migrations
from ratchet.prediction_log.tables import DEAD_LETTERS, METADATA, TABLES, arrow_schema, hour_file, read_log
from ratchet.prediction_log.writer import LogWriter, Row, to_stored_row
from ratchet.serving.settings import LIVE_FILE, LogParams
from tests.support.live_rows import prediction, thumb

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
SUITE = Path(__file__).parents[2] / "data" / "suites" / "production_log.json"


def _fill(url: str, rows: Sequence[dict[str, object]], feedback: Sequence[dict[str, object]] = ()) -> None:
    engine = open_database(url)
    writer = LogWriter(engine, 100, 20, 100_000)
    assert writer.add("predictions", rows) == len(rows)
    writer.add("feedback", feedback)
    writer.close(30)
    assert writer.n_written == len(rows) + len(feedback)
    assert writer.n_waiting == writer.n_dropped == 0
    engine.dispose()


def test_what_was_written_is_read(url: str) -> None:
    rows = [prediction(f"r{n}", NOW + timedelta(seconds=n)) for n in (2, 0, 1)]
    refused = {"text": None, "predicted": None, "confidence": None, "proba": None, "status": 429}
    _fill(url, [*rows, prediction("r3", NOW + timedelta(seconds=3), **refused)], [thumb("r1", NOW, 0.0)])
    table = read_log(url)
    assert table.schema == arrow_schema("predictions")
    assert table["request_id"].to_pylist() == ["r0", "r1", "r2", "r3"]
    assert table["timestamp"].to_pylist()[0] == NOW
    assert table["proba"].to_pylist() == [[0.25, 0.75]] * 3 + [None]
    assert table["status"].to_pylist() == [200, 200, 200, 429]
    between = read_log(url, NOW + timedelta(seconds=1), NOW + timedelta(seconds=2))
    assert between["request_id"].to_pylist() == ["r1"]
    assert read_log(url, table="feedback").to_pylist() == [
        {"timestamp": NOW, "request_id": "r1", "kind": "thumb", "value": 0.0, "label": None}
    ]


def test_migrations_make_what_is_declared_and_can_be_undone(url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
        command.downgrade(migrations(engine, connection), "base")
    assert not set(TABLES) & set(sqlalchemy.inspect(engine).get_table_names())
    engine.dispose()
    again = open_database(url)  # and made anew
    assert set(TABLES) <= set(sqlalchemy.inspect(again).get_table_names())
    again.dispose()


def test_rows_are_written_by_count_and_by_time(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/log.db")
    by_count = LogWriter(engine, 10, 60_000, 1000)
    by_count.add("predictions", [prediction(f"a{n}", NOW) for n in range(10)])
    by_time = LogWriter(engine, 1000, 10, 1000)
    by_time.add("predictions", [prediction("b", NOW)])
    _wait(lambda: by_count.n_written == 10 and by_time.n_written == 1)
    by_count.close(10)
    by_time.close(10)
    engine.dispose()


def test_a_full_queue_drops_and_counts_without_waiting(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/log.db")
    blocker = engine.connect()
    blocker.execute(sqlalchemy.text("BEGIN IMMEDIATE"))  # nobody else can write now
    writer = LogWriter(engine, 10, 5, 100)
    taken = sum(writer.add("predictions", [prediction(f"r{n}", NOW)]) for n in range(150))
    assert (taken, writer.n_dropped, writer.n_waiting) == (100, 50, 100)
    blocker.rollback()
    blocker.close()
    _wait(lambda: writer.n_written == 100)
    assert writer.add("predictions", [prediction("late", NOW)]) == 1
    writer.close(10)
    assert writer.add("predictions", [prediction("after", NOW)]) == 0
    assert read_log(f"sqlite:///{tmp_path}/log.db").num_rows == 101
    engine.dispose()


ODD = {"NUL": "a\0b", "half a pair": "half \ud83d"}


@pytest.mark.parametrize("text", ODD.values(), ids=list(ODD))
def test_a_text_that_a_database_cannot_hold_is_repaired_and_counted(url: str, text: str) -> None:
    engine = open_database(url)
    writer = LogWriter(engine, 100, 20, 1000, to_stored_row("mask", ["US"]))
    served = {"proba": [0.25, 0.75], "text": "fine"}
    writer.add("predictions", [prediction(f"r{n}", NOW, **{**served, "text": text}) for n in (0, 1)])
    writer.add("predictions", [prediction(f"r{n}", NOW, **served) for n in range(2, 20)])
    _wait(lambda: writer.n_written == 20)
    writer.add("predictions", [prediction("later", NOW, **served)])
    writer.close(10)
    engine.dispose()
    assert (writer.n_written, writer.n_repaired, writer.n_refused, writer.n_dropped) == (21, 2, 0, 0)
    kept = {row["request_id"]: row["text"] for row in read_log(url).to_pylist()}
    assert len(kept) == 21
    assert kept["r0"] == kept["r1"] == {"a\0b": "a\ufffdb", "half \ud83d": "half \ufffd"}[text]


def test_what_is_refused_costs_no_other_row_and_is_said_without_its_text(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A number that no column holds is refused by the database; a text may fail what masks it."""
    caplog.set_level(logging.WARNING, "ratchet.prediction_log")  # whatever another library has set

    def prepare(row: Row) -> Row:
        if row["text"] == "secret":
            raise ValueError(row["text"])
        return row

    engine = open_database(url)
    writer = LogWriter(engine, 100, 20, 1000, prepare)
    rows = [prediction(f"r{n}", NOW) for n in range(20)]
    rows[3] |= {"status": 2**70}
    rows[5] |= {"text": "secret"}
    writer.add("predictions", rows)
    writer.add("feedback", [thumb("r1", NOW)])
    writer.close(30)
    engine.dispose()
    assert (writer.n_written, writer.n_refused, writer.n_dropped, writer.n_waiting) == (19, 2, 0, 0)
    assert set(read_log(url)["request_id"].to_pylist()) == {f"r{n}" for n in range(20)} - {"r3", "r5"}
    assert "set aside: r3" in caplog.text
    assert "set aside: r5" in caplog.text
    assert "0 dropped, 2 set aside, 0 lost; 19 were written" in caplog.text
    assert "secret" not in caplog.text
    letters = {letter.request_id: letter for letter in _letters(url)}
    assert {name: letter.origin for name, letter in letters.items()} == {"r3": "predictions", "r5": "predictions"}
    kept = json.loads(letters["r3"].content)
    assert (kept["status"], kept["text"], letters["r3"].text_id) == (2**70, rows[3]["text"], text_id(rows[3]["text"]))
    assert (json.loads(letters["r5"].content)["text"], letters["r5"].text_id) == (None, None)


def _letters(url: str) -> Sequence[sqlalchemy.Row[Any]]:
    engine = open_database(url)
    with engine.connect() as connection:
        found = connection.execute(sqlalchemy.select(DEAD_LETTERS)).all()
    engine.dispose()
    return found


def test_only_errors_of_the_connection_are_tried_again(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A table that is gone is no error of the connection: its rows are set aside at once, others are written."""
    caplog.set_level(logging.WARNING, "ratchet.prediction_log")
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE predictions"))
    writer = LogWriter(engine, 10, 5, 100)
    writer.add("predictions", [prediction(f"r{n}", NOW) for n in range(3)])
    writer.add("feedback", [thumb("r1", NOW)])
    writer.close(30)
    assert (writer.n_written, writer.n_refused, writer.n_lost, writer.n_dropped) == (1, 3, 0, 0)
    assert len(_letters(url)) == 3
    engine.dispose()


def test_what_is_left_at_the_end_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/log.db")
    blocker = engine.connect()
    blocker.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
    writer = LogWriter(engine, 10, 5, 100)
    writer.add("predictions", [prediction(f"r{n}", NOW) for n in range(30)])
    writer.close(0.1)
    assert (writer.n_written, writer.n_dropped, writer.n_waiting) == (0, 30, 0)
    assert "30 dropped" in caplog.text
    blocker.close()
    engine.dispose()


CHILD = """
import sys, time
from datetime import UTC, datetime
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter
from tests.support.live_rows import prediction
writer = LogWriter(open_database(sys.argv[1]), 50, 50, 100_000)
for n in range(100_000):
    writer.add("predictions", [prediction(str(n), datetime.now(UTC))])
    print(n, writer.n_waiting, flush=True)
    time.sleep(0.001)
"""


def test_a_kill_loses_at_most_what_was_waiting(url: str) -> None:
    """After SIGKILL the database holds every row but those waiting: a gapless beginning of what was sent."""
    lines = []
    with subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if len(lines) == 600:
                child.send_signal(signal.SIGKILL)
    lines = [line for line in lines if line.endswith("\n")]
    sent, waiting = (int(word) for word in lines[-1].split())
    kept = sorted(int(name) for name in read_log(url)["request_id"].to_pylist())
    assert kept == list(range(len(kept)))
    assert sent + 1 - len(kept) <= waiting
    assert len(kept) > 300


def test_hours_that_are_over_become_files_once(url: str, tmp_path: Path) -> None:
    moments = [NOW - timedelta(hours=3), NOW - timedelta(hours=1, minutes=1), NOW - timedelta(minutes=1)]
    rows = [
        prediction(f"r{hour}-{n}", moment + timedelta(seconds=n))
        for hour, moment in enumerate(moments)
        for n in range(3)
    ]
    _fill(url, rows, [thumb("r0-0", moments[0])])
    before, folder, engine = read_log(url), tmp_path / "log", open_database(url)
    assert compact(engine, folder, NOW, 30) == Compaction(n_rows=7, n_files=3, n_deleted=0)
    assert read_log(url).num_rows == 3
    assert read_log([url, folder]).equals(before)
    assert compact(engine, folder, NOW, 30) == Compaction(0, 0, 0)
    late = prediction("late", moments[0])
    _fill(url, [late])
    assert compact(engine, folder, NOW, 30).n_rows == 1
    assert pq.read_table(hour_file(folder, "predictions", moments[0].replace(minute=0))).num_rows == 4
    kept_until = moments[0].replace(minute=0) + timedelta(hours=1, days=30)
    assert compact(engine, folder, kept_until, 30).n_deleted == 2
    assert read_log(folder, until=moments[0] + timedelta(hours=1)).num_rows == 0
    assert [path.name for path in (folder / "feedback").iterdir()] == []
    engine.dispose()


def test_a_compaction_that_dies_before_it_deletes_is_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = f"sqlite:///{tmp_path}/log.db", tmp_path / "log"
    _fill(url, [prediction(f"r{n}", NOW - timedelta(hours=2)) for n in range(5)])
    engine = open_database(url)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("sqlalchemy.delete", die)
        with pytest.raises(KeyboardInterrupt):
            compact(engine, folder, NOW, 30)
    assert read_log(folder).num_rows == read_log(url).num_rows == 5
    assert read_log([url, folder]).num_rows == 5
    compact(engine, folder, NOW, 30)
    assert (read_log(folder).num_rows, read_log(url).num_rows) == (5, 0)
    engine.dispose()


def test_compacted_files_pass_the_suite_of_the_production_log(tmp_path: Path) -> None:
    url, folder = f"sqlite:///{tmp_path}/log.db", tmp_path / "log"
    _fill(url, [prediction(f"r{n}", NOW - timedelta(hours=2)) for n in range(5)])
    engine = open_database(url)
    compact(engine, folder, NOW, 30)
    engine.dispose()
    path = hour_file(folder, "predictions", NOW.replace(minute=0) - timedelta(hours=2))

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield pd.read_parquet(path)[list(columns)]

    suite = read_suite(SUITE, {"labels": ["negative", "positive"]})
    outcomes = judge_log(read, pq.read_schema(path), suite, None, ["US"])
    assert [outcome for outcome in outcomes if not outcome.success] == []


def test_a_file_with_other_columns_is_named(tmp_path: Path) -> None:
    path = hour_file(tmp_path, "feedback", NOW.replace(minute=0))
    path.parent.mkdir(parents=True)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(TableError, match=path.name):
        read_log(tmp_path, table="feedback")


def test_a_database_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(SourceError, match=r"log\.url") as caught:
        open_database("postgresql://somebody:hidden-word@127.0.0.1:1/nothing")  # no secret
    assert "hidden-word" not in str(caught.value)


def test_the_block_of_live_yaml_is_valid() -> None:
    assert load_params(LogParams, "log", LIVE_FILE).batch_size >= 1


def _wait(condition: object) -> None:
    end = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.01)
