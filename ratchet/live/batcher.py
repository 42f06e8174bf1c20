"""Requests gathered into batches and scored off the event loop; those that would wait too long are refused at once.

Whatever waits when a worker becomes free goes into one batch, the oldest first; the predictor sorts it by length, so
that little of it is padding. Work is counted in characters, and how many of them a second are done is measured
on every batch: so the queue's bound follows the machine, the model and the texts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ratchet.models.predictor import Predictor, Proba

_TEXT_COST = 40
"""What a text costs beside its characters, in characters."""
_SMOOTHING = 0.2
"""Weight of the newest batch in the measured rate."""


class OverloadedError(Exception):
    """The request would wait too long."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the server is busy")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class BatchDone:
    """What scoring a batch took."""

    n_texts: int
    n_requests: int
    cpu_s: float
    """CPU time of the thread that scored it."""


@dataclass(frozen=True)
class _Item:
    predictor: Predictor
    texts: Sequence[str]
    cost: float
    answer: asyncio.Future[Proba]


class Batcher:
    """A queue of requests, and the workers that score them."""

    def __init__(
        self, n_workers: int, max_batch: int, window_ms: float, max_wait_ms: float, max_characters: int,
        on_batch: Callable[[BatchDone], None],
    ) -> None:  # fmt: skip
        self.characters_per_s = 0.0
        """Measured, of one worker; 0 before the first batch."""
        self._n_workers, self._max_batch = n_workers, max_batch
        self._window_s, self._max_wait_s = window_ms / 1000, max_wait_ms / 1000
        self._max_characters, self._on_batch = max_characters, on_batch
        self._queue: deque[_Item] = deque()
        self._cost = 0.0
        self._arrived = asyncio.Event()
        self._threads = ThreadPoolExecutor(n_workers, thread_name_prefix="score")
        self._workers: list[asyncio.Task[None]] = []

    @property
    def n_waiting(self) -> int:
        """Requests that no worker has taken yet."""
        return len(self._queue)

    @property
    def expected_wait_s(self) -> float:
        """How long what waits and what is being scored will take."""
        rate = self.characters_per_s * self._n_workers
        return self._cost / rate if rate else 0.0

    def start(self) -> None:
        """Let the workers begin; inside of an event loop."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._n_workers)]

    async def score(self, predictor: Predictor, texts: Sequence[str], spare: bool = False) -> Proba:
        """Probabilities of the texts, (n_texts, n_classes).

        Args:
            predictor: which model.
            texts: at least one.
            spare: work that nobody waits for: refused as soon as half of the allowed wait is reached.

        Raises:
            OverloadedError: they would wait longer than allowed.
        """
        wait = self.expected_wait_s
        if wait > self._max_wait_s * (0.5 if spare else 1.0):
            raise OverloadedError(wait)
        cost = float(sum(_TEXT_COST + min(len(text), self._max_characters) for text in texts))
        item = _Item(predictor, texts, cost, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        self._cost += cost
        self._arrived.set()
        return await item.answer

    async def close(self) -> None:
        """Score what waits, then stop."""
        while self._queue or self._cost > 0.5:
            await asyncio.sleep(0.005)
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._threads.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            if self._window_s and len(self._queue) < self._max_batch:
                await asyncio.sleep(self._window_s)
            if not (batch := self._take()):
                continue
            try:
                proba, done, wall_s = await loop.run_in_executor(self._threads, _score, batch)
            except Exception as error:  # the requests of this batch fail, the worker goes on
                for item in batch:
                    if not item.answer.done():
                        item.answer.set_exception(error)
            else:
                self._measure(batch, wall_s)
                self._on_batch(done)
                starts = np.cumsum([0, *(len(item.texts) for item in batch)])
                for item, start, end in zip(batch, starts, starts[1:], strict=False):
                    if not item.answer.done():  # whoever asked may be gone
                        item.answer.set_result(proba[start:end])
            finally:
                self._cost -= sum(item.cost for item in batch)

    def _take(self) -> list[_Item]:
        """The oldest request, and with it the next ones of the same model while they fit."""
        batch: list[_Item] = []
        n_texts = 0
        while self._queue:
            item = self._queue[0]
            if batch and (item.predictor is not batch[0].predictor or n_texts + len(item.texts) > self._max_batch):
                break
            batch.append(self._queue.popleft())
            n_texts += len(item.texts)
        if self._queue:
            self._arrived.set()
        return batch

    def _measure(self, batch: Sequence[_Item], wall_s: float) -> None:
        rate = sum(item.cost for item in batch) / max(wall_s, 1e-6)
        known = self.characters_per_s
        self.characters_per_s = rate if not known else known + _SMOOTHING * (rate - known)


def _score(batch: Sequence[_Item]) -> tuple[Proba, BatchDone, float]:
    start, cpu = time.perf_counter(), time.thread_time()
    texts = [text for item in batch for text in item.texts]
    proba = batch[0].predictor.predict_proba(texts)
    done = BatchDone(len(texts), len(batch), time.thread_time() - cpu)
    return proba, done, time.perf_counter() - start
