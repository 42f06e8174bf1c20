"""The scheduled compaction: what live.yaml names is moved, and a second run finds nothing to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy

from flows import compaction
from ratchet.params import read_yaml
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.tables import PREDICTIONS, read_log
from tests.support.live_rows import prediction
from tests.support.miniature import ROOT


def test_hours_that_are_over_become_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = read_yaml(ROOT / "live.yaml")["log"] | {"url": "sqlite:///log.db", "folder": "log"}
    (tmp_path / "live.yaml").write_text("log:\n" + "".join(f"  {key}: {value}\n" for key, value in settings.items()))
    engine = open_database("sqlite:///log.db")
    now = datetime.now(UTC)
    with engine.begin() as connection:
        rows = [prediction(f"r{n}", now - timedelta(hours=3 * (n % 2))) for n in range(10)]
        connection.execute(sqlalchemy.insert(PREDICTIONS), rows)
    engine.dispose()
    assert compaction.compact.fn().message == "5 rows into 1 files, 0 files deleted"
    assert compaction.compact.fn().message == "0 rows into 0 files, 0 files deleted"
    assert (read_log(tmp_path / "log").num_rows, read_log("sqlite:///log.db").num_rows) == (5, 5)
