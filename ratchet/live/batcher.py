"""Requests gathered into batches and scored off the event loop; those that would wait too long are refused at once.

Whatever waits when a worker becomes free goes into one batch, the oldest first, and through the model in passes of
similar length. Work is counted in characters, and how many of them a second are done is measured on every batch: so the
queue's bound follows the machine, the model and the texts.

The workers are threads that take from the queue themselves: an executor's futures and wake-ups for each batch cost more
than all else that surrounds the model.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ratchet.live.passes import score_texts
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


@dataclass(frozen=True, eq=False, slots=True)
class _Item:
    predictor: Predictor
    texts: Sequence[str]
    cost: float
    answer: asyncio.Future[Proba]


class Batcher:
    """A queue of requests, and the workers that score them."""

    def __init__(
        self, n_workers: int, max_batch: int, batch_size: int, window_ms: float, max_wait_ms: float,
        max_characters: int, on_batch: Callable[[BatchDone], None],
    ) -> None:  # fmt: skip
        self.characters_per_s = 0.0
        """Measured, of one worker; 0 before the first batch."""
        self._n_workers, self._max_batch, self._batch_size = n_workers, max_batch, batch_size
        self._window_s, self._max_wait_s = window_ms / 1000, max_wait_ms / 1000
        self._max_characters, self._on_batch = max_characters, on_batch
        self._queue: deque[_Item] = deque()
        self._cost = 0.0
        self._lock = threading.Lock()
        """Of the queue, the idle and the end."""
        self._idle: list[threading.Lock] = []
        """What each idle worker sleeps on; the last one is woken first: what it needs may still be in the cache."""
        self._closing = False
        self._workers: list[threading.Thread] = []

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
        loop = asyncio.get_running_loop()
        self._workers = [
            threading.Thread(target=self._work, args=(loop,), name=f"score-{n}", daemon=True)
            for n in range(self._n_workers)
        ]
        for worker in self._workers:
            worker.start()

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
        self._cost += cost
        with self._lock:
            self._queue.append(item)
            asleep = self._idle.pop() if self._idle else None
        if asleep is not None:
            asleep.release()
        return await item.answer

    async def close(self) -> None:
        """Score what waits, then stop."""
        while self._queue or self._cost > 0.5:
            await asyncio.sleep(0.005)
        with self._lock:
            self._closing = True
            while self._idle:
                self._idle.pop().release()
        for worker in self._workers:
            worker.join()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """A worker's life: only this thread scores its batches, only the event loop's thread settles them."""
        asleep = threading.Lock()
        asleep.acquire()
        while True:
            if self._window_s and 0 < len(self._queue) < self._max_batch:
                time.sleep(self._window_s)
            with self._lock:
                batch = self._take()
                if not batch:
                    if self._closing:
                        return
                    self._idle.append(asleep)
            if not batch:
                asleep.acquire()
                continue
            outcome = self._score(batch)
            try:
                loop.call_soon_threadsafe(self._settle, batch, *outcome)
            except RuntimeError:  # the loop was closed by force: nobody waits any more
                return

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
        return batch

    def _score(self, batch: Sequence[_Item]) -> tuple[Proba | Exception, BatchDone, float]:
        """The batch's probabilities or what failed, its cost, and the seconds that it took."""
        start, cpu = time.perf_counter(), time.thread_time()
        texts = [text for item in batch for text in item.texts]
        found: Proba | Exception
        try:
            found = score_texts(batch[0].predictor, texts, self._batch_size)
        except Exception as error:  # the requests of this batch fail, the worker goes on
            found = error
        done = BatchDone(len(texts), len(batch), time.thread_time() - cpu)
        return found, done, time.perf_counter() - start

    def _settle(self, batch: Sequence[_Item], found: Proba | Exception, done: BatchDone, wall_s: float) -> None:
        cost = sum(item.cost for item in batch)
        self._cost -= cost
        if not isinstance(found, Exception):
            rate, known = cost / max(wall_s, 1e-6), self.characters_per_s
            self.characters_per_s = rate if not known else known + _SMOOTHING * (rate - known)
            self._on_batch(done)
        at = 0
        for item in batch:
            if not item.answer.done():  # whoever asked may be gone
                if isinstance(found, Exception):
                    item.answer.set_exception(found)
                else:
                    item.answer.set_result(found[at : at + len(item.texts)])
            at += len(item.texts)
