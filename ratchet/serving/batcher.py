"""Dynamic batching: requests share forward passes off the event loop; what would wait too long is refused at once.

What waits is a common store: a worker that becomes free takes the text that has waited longest, and with it those whose
company is cheapest for all that wait. Each pass is answered when it is done. Work is counted in characters, and how
many of them a second are done is measured on every pass: so the queue's bound follows the machine, the model and the
texts.

The workers are threads that take from the store themselves: an executor's futures and wake-ups for each pass cost more
than all else that surrounds the model.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ratchet.models.batching import Tokens
from ratchet.models.predictor import Predictor, Proba, TokenPredictor
from ratchet.serving.batch_planning import batch_with_oldest
from ratchet.serving.pace import Pace

_TEXT_COST = 40
"""Fixed cost of a text, in characters."""
DEFAULT_PACE = Pace()
_SMOOTHING = 0.05
"""Weight of the newest pass in the measured rate."""


class OverloadedError(Exception):
    """The server is overloaded: the request would wait too long."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the server is busy")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class BatchDone:
    """Cost of a forward pass."""

    n_texts: int
    cpu_s: float
    """CPU time of the thread that scored it, and of reading what came in since."""


@dataclass(eq=False, slots=True)
class _Request:
    predictor: Predictor
    texts: Sequence[str]
    cost: float
    answer: asyncio.Future[Proba]
    pace: Pace
    proba: Proba | None = None
    """Rows are filled as passes end; one text needs none."""
    n_left: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class _Text:
    request: _Request
    index: int
    """Its place in the request."""
    tokens: Tokens
    """Empty where the model reads texts itself."""


class Batcher:
    """A store of requests, and the workers that score them."""

    def __init__(
        self,
        n_workers: int,
        max_batch: int,
        window_ms: float,
        max_wait_ms: float,
        max_characters: int,
        on_batch: Callable[[BatchDone], None],
    ) -> None:
        self.characters_per_s = 0.0
        """Measured, of one worker; 0 before the first pass."""
        self._n_workers, self._max_batch = n_workers, max_batch
        self._window_s, self._max_wait_s = window_ms / 1000, max_wait_ms / 1000
        self._max_characters, self._on_batch = max_characters, on_batch
        self._queue: deque[_Request] = deque()
        self._ready: list[_Text] = []
        """Tokenised, the oldest first."""
        self._cost = 0.0
        self._lock = threading.Lock()
        """Of the queue, the texts that are ready, the idle and the end."""
        self._idle: list[threading.Lock] = []
        """Lock that each idle worker waits on; the last one is woken first: its data may still be in the cache."""
        self._closing = False
        self._workers: list[threading.Thread] = []

    @property
    def n_waiting(self) -> int:
        """Requests of which no text is being scored or was."""
        return len(self._queue) + len({id(text.request) for text in self._ready if text.index == 0})

    @property
    def expected_wait_s(self) -> float:
        """Expected seconds until all waiting and running requests are scored."""
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

    async def score(
        self, predictor: Predictor, texts: Sequence[str], pace: Pace = DEFAULT_PACE, spare: bool = False
    ) -> Proba:
        """Probabilities of the texts, (n_texts, n_classes).

        Args:
            predictor: which model.
            texts: at least one.
            pace: what its passes cost.
            spare: work that nobody waits for: refused as soon as half of the allowed wait is reached.

        Raises:
            OverloadedError: they would wait longer than allowed.
        """
        wait = self.expected_wait_s
        if wait > self._max_wait_s * (0.5 if spare else 1.0):
            raise OverloadedError(wait)
        cost = sum(map(self._cost_of, texts))
        future = asyncio.get_running_loop().create_future()
        request = _Request(predictor, texts, cost, future, pace, n_left=len(texts))
        self._cost += cost
        with self._lock:
            self._queue.append(request)
            asleep = self._idle.pop() if self._idle else None
        if asleep is not None:
            asleep.release()
        return await request.answer

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

    def _cost_of(self, text: str) -> float:
        return float(_TEXT_COST + min(len(text), self._max_characters))

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        """Worker loop: only this thread scores what it took, only the event loop's thread sets the results."""
        asleep = threading.Lock()
        asleep.acquire()
        while True:
            if self._window_s and 0 < len(self._queue) + len(self._ready) < self._max_batch:
                time.sleep(self._window_s)
            cpu = time.thread_time()
            with self._lock:
                fresh = self._take_new()
                if nothing := not fresh and not self._ready:
                    if self._closing:
                        return
                    self._idle.append(asleep)
            if nothing:
                asleep.acquire()
                continue
            texts, failed = self._read(fresh)
            with self._lock:
                self._ready += texts
                chosen = self._choose() if self._ready else []
                woken = self._idle.pop() if self._ready and self._idle else None
            if woken is not None:
                woken.release()
            try:
                for request, error in failed:
                    loop.call_soon_threadsafe(self._fail, request, error)
                if chosen:
                    start = time.perf_counter()
                    outcomes = self._score(chosen)
                    wall_s, cpu_s = time.perf_counter() - start, time.thread_time() - cpu
                    for scored, found in outcomes:
                        share = len(scored) / len(chosen)
                        done = BatchDone(len(scored), share * cpu_s)
                        loop.call_soon_threadsafe(self._settle, scored, found, done, share * wall_s)
            except RuntimeError:  # the loop was closed by force: nobody waits any more
                return

    def _take_new(self) -> list[_Request]:
        """The oldest requests that nobody has read, until there is enough to choose from."""
        taken: list[_Request] = []
        n_texts = len(self._ready)
        while self._queue and n_texts < self._max_batch:
            taken.append(self._queue.popleft())
            n_texts += len(taken[-1].texts)
        return taken

    def _read(self, requests: Sequence[_Request]) -> tuple[list[_Text], list[tuple[_Request, Exception]]]:
        """The texts of the requests, tokenised, and the requests whose texts cannot be: no other fails with them."""
        read: list[_Text] = []
        failed: list[tuple[_Request, Exception]] = []
        for predictor, group in itertools.groupby(requests, key=lambda request: request.predictor):
            together = list(group)
            try:
                read += _tokenised(predictor, together)
            except Exception:  # a single text may be the cause: each is scored again by itself, and only that one fails
                for request in together:
                    try:
                        read += _tokenised(predictor, [request])
                    except Exception as error:  # this request fails, the worker goes on
                        failed.append((request, error))
        return read, failed

    def _choose(self) -> list[_Text]:
        """The oldest text that is ready, and those that go with it; the rest stays.

        While others are idle a worker takes no more than its share.
        """
        first = self._ready[0].request
        model, pace = first.predictor, first.pace
        seen = [text for text in self._ready if text.request.predictor is model][: self._max_batch]
        if isinstance(model, TokenPredictor):
            share = -(-len(seen) // (1 + len(self._idle)))
            size = min(pace.batch_size, share)
            together = batch_with_oldest([len(text.tokens) for text in seen], size, pace.pass_cost)
            chosen = [seen[index] for index in together]
        else:
            chosen = seen
        taken = set(map(id, chosen))
        self._ready = [text for text in self._ready if id(text) not in taken]
        return chosen

    def _score(self, chosen: Sequence[_Text]) -> list[tuple[Sequence[_Text], Proba | Exception]]:
        """Probabilities of texts of one model; where their pass fails, those of each text alone, or what failed."""
        model = chosen[0].request.predictor
        try:
            if isinstance(model, TokenPredictor):
                return [(chosen, model.predict_proba_tokens([text.tokens for text in chosen]))]
            return [(chosen, model.predict_proba([text.request.texts[text.index] for text in chosen]))]
        except Exception as error:  # one text must not fail the requests of others, and the worker goes on
            if len(chosen) == 1:
                return [(chosen, error)]
            return [outcome for text in chosen for outcome in self._score([text])]

    def _fail(self, request: _Request, error: Exception) -> None:
        self._cost -= request.cost
        if not request.answer.done():
            request.answer.set_exception(error)

    def _settle(self, chosen: Sequence[_Text], found: Proba | Exception, done: BatchDone, wall_s: float) -> None:
        cost = sum(self._cost_of(text.request.texts[text.index]) for text in chosen)
        self._cost -= cost
        if not isinstance(found, Exception):
            rate, known = cost / max(wall_s, 1e-6), self.characters_per_s
            self.characters_per_s = rate if not known else known + _SMOOTHING * (rate - known)
            self._on_batch(done)
        for row, text in enumerate(chosen):
            request = text.request
            request.n_left -= 1
            if request.answer.done():  # whoever asked may be gone, or another pass of it has failed
                continue
            if isinstance(found, Exception):
                request.answer.set_exception(found)
            elif len(request.texts) == 1:
                request.answer.set_result(found[row : row + 1])
            else:
                if request.proba is None:
                    request.proba = np.empty((len(request.texts), found.shape[1]))
                request.proba[text.index] = found[row]
                if not request.n_left:
                    request.answer.set_result(request.proba)


def _tokenised(predictor: Predictor, requests: Sequence[_Request]) -> list[_Text]:
    """The texts of the requests, in their order."""
    texts = [text for request in requests for text in request.texts]
    each = iter(predictor.encode(texts) if isinstance(predictor, TokenPredictor) else [[]] * len(texts))
    return [_Text(request, index, next(each)) for request in requests for index in range(len(request.texts))]
