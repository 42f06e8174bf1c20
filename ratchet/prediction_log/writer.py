"""Writing the prediction log from a thread of its own: a response never waits for the database.

Rows wait in a queue of bounded length and are written in batches, by count or by time, whichever comes first. What a
`kill -9` loses is what was not committed: the rows of the last `interval_ms`, and those that came while a batch was
being written. Where the database is away or too slow the batch is tried again, the queue fills, and further rows are
dropped and counted: an answer without its row in the log is worth more than no answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy
from sqlalchemy.engine import Engine

from ratchet.prediction_log.tables import TABLES, TableName

Row = Mapping[str, Any]
_LOGGER = logging.getLogger("ratchet.prediction_log")
_RETRY_S = (0.1, 0.5, 2.0)
"""How long to wait before a batch is tried again; the last one from then on."""


def proba_bytes(proba: Sequence[float]) -> bytes:
    """Probabilities as the database holds them.

    >>> np.frombuffer(proba_bytes([0.25, 0.75]), dtype="<f4").tolist()
    [0.25, 0.75]
    """
    return np.asarray(proba, dtype="<f4").tobytes()


def as_kept(personal_data: str, phone_region: str) -> Callable[[Row], Row]:
    """What makes of a served prediction the row that is kept: text masked, probabilities as bytes."""

    def prepare(row: Row) -> Row:
        if row["proba"] is None:
            return row
        text = row["text"]
        if personal_data == "mask":
            from ratchet.data.personal_data import mask_personal_data

            text, _ = mask_personal_data(text, phone_region)
        return {**row, "text": text, "proba": proba_bytes(row["proba"])}

    return prepare


class LogWriter:
    """Takes rows without waiting, and writes them in batches."""

    def __init__(
        self,
        engine: Engine,
        batch_size: int,
        interval_ms: int,
        queue_size: int,
        prepare: Callable[[Row], Row] | None = None,
    ) -> None:
        self.n_written = 0
        """Rows that were committed."""
        self.n_dropped = 0
        """Rows that found the queue full, or were left when the writer was closed."""
        self._engine, self._batch_size, self._queue_size = engine, batch_size, queue_size
        self._interval_s = interval_ms / 1000
        self._prepare = prepare
        self._queue: deque[tuple[TableName, Row]] = deque()
        self._in_flight = 0
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def n_waiting(self) -> int:
        """Rows taken and not yet committed: what a kill would lose now."""
        return len(self._queue) + self._in_flight

    def add(self, table: TableName, rows: Sequence[Row]) -> int:
        """Take rows, each with every column but `n`; how many were taken. Never waits for the database."""
        with self._wake:
            taken = 0 if self._closing else min(len(rows), self._queue_size - self.n_waiting)
            self._queue.extend((table, row) for row in rows[:taken])
            self.n_dropped += len(rows) - taken
            if len(self._queue) >= self._batch_size:
                self._wake.notify()
        return taken

    def close(self, timeout_s: float) -> None:
        """Write what waits, for so long at most; what is left then is dropped and counted."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closing and len(self._queue) < self._batch_size:
                    self._wake.wait(self._interval_s)
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_size))]
                self._in_flight = len(batch)
                if not batch and self._closing:
                    return
            if batch and not self._write(self._prepared(batch)):
                return

    def _prepared(self, batch: list[tuple[TableName, Row]]) -> list[tuple[TableName, Row]]:
        """The batch as it is kept: a prediction goes through `prepare`, in this thread and not in the response's."""
        if self._prepare is None:
            return batch
        return [(name, self._prepare(row) if name == "predictions" else row) for name, row in batch]

    def _write(self, batch: Sequence[tuple[TableName, Row]]) -> bool:
        """Commit a batch, however long it takes; False when the writer was closed before it could."""
        n_tries = 0
        while True:
            try:
                with self._engine.begin() as connection:
                    for name, table in TABLES.items():
                        if rows := [row for of, row in batch if of == name]:
                            connection.execute(sqlalchemy.insert(table), rows)
            except sqlalchemy.exc.SQLAlchemyError as error:
                if n_tries == 0:
                    _LOGGER.warning("the prediction log cannot be written, trying again: %s", type(error).__name__)
                if self._closing and n_tries:
                    with self._wake:
                        self.n_dropped += len(batch) + len(self._queue)
                        self._queue.clear()
                        self._in_flight = 0
                    return False
                time.sleep(_RETRY_S[min(n_tries, len(_RETRY_S) - 1)])
                n_tries += 1
            else:
                with self._wake:
                    self.n_written += len(batch)
                    self._in_flight = 0
                return True
