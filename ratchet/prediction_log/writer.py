"""Asynchronous writer of the prediction log: a response never waits for the database.

Rows wait in a queue of bounded length and are written in batches, by count or by time, whichever comes first. What a
`kill -9` loses is what was not committed: the rows of the last `interval_ms`, and those that came while a batch was
being written. Where the database is away or too slow the batch is tried again, the queue fills, and further rows are
dropped and counted: an answer without its row in the log is worth more than no answer. A row that no database would
take never holds up the others: what can be repaired is repaired, the rest is set aside in `dead_letters`, and both are
counted.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy
from sqlalchemy.engine import Engine

from ratchet.prediction_log.dead_letters import dead_letter, is_away
from ratchet.prediction_log.tables import DEAD_LETTERS, TABLES, TableName

Row = Mapping[str, Any]
_Named = tuple[TableName, Row]
_DAMAGE = re.compile("[\0\ud800-\udfff]")
_LOGGER = logging.getLogger("ratchet.prediction_log")
_RETRY_S = (0.1, 0.5, 2.0)
"""How long to wait before a batch is tried again; the last one from then on."""


def proba_bytes(proba: Sequence[float]) -> bytes:
    """Probabilities as the database holds them.

    >>> np.frombuffer(proba_bytes([0.25, 0.75]), dtype="<f4").tolist()
    [0.25, 0.75]
    """
    return np.asarray(proba, dtype="<f4").tobytes()


def repaired(row: Row) -> Row:
    """The row with U+FFFD in place of what PostgreSQL cannot hold (NUL) or nobody can (half of a surrogate pair).

    The row itself where nothing is to be repaired.

    >>> repaired({"text": "a\\0b", "status": 200})["text"], repaired({"text": "half \\ud83d"})["text"]
    ('a\ufffdb', 'half \ufffd')
    """
    if not any(isinstance(value, str) and _DAMAGE.search(value) for value in row.values()):
        return row
    return {
        name: _DAMAGE.sub("\N{REPLACEMENT CHARACTER}", value) if isinstance(value, str) else value
        for name, value in row.items()
    }


def to_stored_row(personal_data: str, regions: Sequence[str]) -> Callable[[Row], Row]:
    """Function from a served prediction to its stored row: text masked, probabilities as bytes."""

    def prepare(row: Row) -> Row:
        if row["proba"] is None:
            return row
        text = row["text"]
        if personal_data == "mask":
            from ratchet.data.personal_data import mask_personal_data

            text, _ = mask_personal_data(text, regions)
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
        self.n_repaired = 0
        """Rows of which a character was replaced, see `repaired`."""
        self.n_refused = 0
        """Rows that could not be made ready or that the database refused: set aside."""
        self.n_lost = 0
        """Of these, rows that could not be set aside either."""
        self._engine, self._batch_size, self._queue_size = engine, batch_size, queue_size
        self._interval_s = interval_ms / 1000
        self._prepare = prepare
        self._queue: deque[_Named] = deque()
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
        """Write what waits, for so long at most; what is left then is dropped, counted and logged."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        with self._wake:
            self._drop_what_waits()
        left = {"dropped": self.n_dropped, "set aside": self.n_refused - self.n_lost, "lost": self.n_lost}
        if any(left.values()):
            counts = ", ".join(f"{n} {name}" for name, n in left.items())
            _LOGGER.error("rows are missing from the prediction log: %s; %d were written", counts, self.n_written)

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

    def _prepared(self, batch: Sequence[_Named]) -> list[_Named]:
        """The batch as it is kept: a prediction goes through `prepare`, in this thread and not in the response's."""
        ready: list[_Named] = []
        for name, row in batch:
            try:
                whole = repaired(row)
                kept = self._prepare(whole) if self._prepare is not None and name == "predictions" else whole
            except Exception as error:  # whatever a text does to what masks it, the log goes on
                self._set_aside(name, {**row, "text": None}, error)  # the text was not masked, so it is not kept
                continue
            self.n_repaired += whole is not row
            ready.append((name, kept))
        return ready

    def _write(self, batch: Sequence[_Named]) -> bool:
        """Commit a batch, however long it takes; False when the writer was closed before it could.

        What the database refuses is tried row by row, so that one row never costs the others of its batch.
        """
        n_tries = 0
        while True:
            try:
                self._commit(batch)
            except Exception as error:
                if not is_away(error):
                    if len(batch) > 1:
                        return all(self._write([row]) for row in batch)
                    self._set_aside(*batch[0], error)
                    return True
                if n_tries == 0:
                    _LOGGER.warning("the prediction log cannot be written, trying again: %s", type(error).__name__)
                if self._closing and n_tries:
                    return False
                time.sleep(_RETRY_S[min(n_tries, len(_RETRY_S) - 1)])
                n_tries += 1
            else:
                with self._wake:
                    self.n_written += len(batch)
                    self._in_flight -= len(batch)
                return True

    def _commit(self, batch: Sequence[_Named]) -> None:
        with self._engine.begin() as connection:
            for name, table in TABLES.items():
                if rows := [row for of, row in batch if of == name]:
                    connection.execute(sqlalchemy.insert(table), rows)

    def _set_aside(self, name: TableName, row: Row, error: Exception) -> None:
        """Keep a row that cannot be stored among the dead letters; log its request id and the kind of error."""
        kept = True
        try:
            with self._engine.begin() as connection:
                connection.execute(sqlalchemy.insert(DEAD_LETTERS), dead_letter(name, row, error))
        except Exception:  # counted below: there is no other place for it
            kept = False
        with self._wake:
            self.n_refused += 1
            self.n_lost += not kept
            self._in_flight -= 1
        _LOGGER.warning(
            "a row of the prediction log is %s: %s, %s",
            "set aside" if kept else "lost",
            row.get("request_id"),
            type(error).__name__,
        )

    def _drop_what_waits(self) -> None:
        self.n_dropped += self.n_waiting
        self._queue.clear()
        self._in_flight = 0
