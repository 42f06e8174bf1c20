"""Erasure of texts from every copy that the prediction log keeps: database, dead letters and Parquet files.

A text is named by its hash, `ratchet.data.cleaning.text_id`, so that whoever erases need not have it. The rows of the
text go, with the feedback on them. On SQLite the bytes are overwritten, and the write-ahead log is emptied; PostgreSQL
frees them at its next vacuum.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.engine import Connection, Engine

from ratchet.data.cleaning import text_id
from ratchet.files import replace_file
from ratchet.prediction_log.compaction import LOCK, alone, sync
from ratchet.prediction_log.database import exclusive, open_database
from ratchet.prediction_log.tables import DEAD_LETTERS, FEEDBACK, PREDICTIONS, arrow_schema, hour_files

_CHUNK = 5_000


@dataclass(frozen=True)
class Erased:
    """What was erased."""

    n_predictions: int
    n_feedback: int
    n_dead_letters: int
    n_files: int
    """Parquet files that were written anew, or deleted because nothing was left."""


def erase(url: str, folder: Path, text_ids: Collection[str]) -> Erased:
    """Erase all rows whose text has one of these hashes. Running it again changes nothing.

    Rows that a server still holds in its memory are written within `interval_ms`: run it again after that.

    Args:
        url: the database, as `log.url` names it.
        folder: of the Parquet files, as `log.folder` names it.
        text_ids: hashes of texts as they are kept, that is cleaned and masked; see `ratchet.data.cleaning.text_id`.

    Raises:
        SourceError: the database cannot be opened.
    """
    wanted, engine = frozenset(text_ids), open_database(url)
    try:
        with alone(folder):  # no compaction meanwhile: it would carry rows past
            requests = set(_in_files(folder, wanted))
            with exclusive(engine, LOCK) as connection:
                requests |= set(_in_database(connection, wanted))
                n_letters = _count(
                    connection, sqlalchemy.delete(DEAD_LETTERS).where(DEAD_LETTERS.c.text_id.in_(wanted))
                )
                n_predictions = _delete(connection, PREDICTIONS, requests)
                n_feedback = _delete(connection, FEEDBACK, requests)
            n_kept, n_said, n_files = _rewrite(folder, requests)
        _empty_write_ahead_log(engine)
    finally:
        engine.dispose()
    return Erased(n_predictions + n_kept, n_feedback + n_said, n_letters, n_files)


def _in_database(connection: Connection, wanted: frozenset[str]) -> Iterator[str]:
    query = sqlalchemy.select(PREDICTIONS.c.request_id, PREDICTIONS.c.text).where(PREDICTIONS.c.text.is_not(None))
    for request_id, text in connection.execute(query.execution_options(yield_per=_CHUNK)):
        if text_id(text) in wanted:
            yield request_id


def _in_files(folder: Path, wanted: frozenset[str]) -> Iterator[str]:
    import pyarrow.parquet as pq

    for _, path in hour_files(folder, "predictions"):
        for batch in pq.ParquetFile(path).iter_batches(_CHUNK, columns=["request_id", "text"]):
            for request_id, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                if text is not None and text_id(text) in wanted:
                    yield request_id


def _delete(connection: Connection, table: sqlalchemy.Table, requests: set[str]) -> int:
    listed = sorted(requests)
    chunks = (listed[at : at + _CHUNK] for at in range(0, len(listed), _CHUNK))
    return sum(_count(connection, sqlalchemy.delete(table).where(table.c.request_id.in_(chunk))) for chunk in chunks)


def _count(connection: Connection, statement: Any) -> int:
    return int(connection.execute(statement).rowcount)


def _rewrite(folder: Path, requests: set[str]) -> tuple[int, int, int]:
    """Parquet files without the rows of these requests: predictions and feedback that went, and files concerned."""
    import pyarrow
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    gone, n_files, among = {"predictions": 0, "feedback": 0}, 0, pyarrow.array(sorted(requests), pyarrow.string())
    for name in ("predictions", "feedback"):
        for _, path in hour_files(folder, name):
            rows = pq.ParquetFile(path).read()
            kept = rows.filter(pc.invert(pc.is_in(rows["request_id"], among)))
            if kept.num_rows == rows.num_rows:
                continue
            gone[name] += rows.num_rows - kept.num_rows
            n_files += 1
            if not kept.num_rows:
                path.unlink()
                continue
            with replace_file(path) as partial:
                pq.write_table(kept.cast(arrow_schema(name)), partial, compression="zstd")
                sync(partial)
            sync(path.parent)
    return gone["predictions"], gone["feedback"], n_files


def _empty_write_ahead_log(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
