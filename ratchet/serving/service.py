"""The service without HTTP: predict by champion or challenger, log, explain, reload models."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ratchet.experiments.assignment import OFF, Experiment, assign
from ratchet.models.predictor import Proba
from ratchet.prediction_log.tables import microseconds
from ratchet.prediction_log.writer import LogWriter, Row
from ratchet.serving.access import new_id
from ratchet.serving.batcher import BatchDone, Batcher, OverloadedError
from ratchet.serving.metrics import Metrics
from ratchet.serving.served_model import ModelSource, ServedModel, load_model
from ratchet.serving.settings import ServeParams
from ratchet.trust.attributions import Attribution, attribute
from ratchet.trust.lockstep import cached_score

_LOGGER = logging.getLogger("ratchet.serving")
DEFAULT_MODEL = "default"
"""Name of the first model, which answers where a path names none."""
MAX_CLEANED_IN_LOOP = 4_000
"""Characters of a request that are cleaned on the event loop: a tenth of a millisecond's work, with masking thrice."""


@dataclass(frozen=True)
class Answer:
    """Predictions for the texts of a request."""

    model: ServedModel
    proba: Proba
    request_ids: list[str]


class Request(NamedTuple):
    """The part of a request that the log keeps, whichever model answers."""

    texts: Sequence[str]
    """As the model reads them, once it is known which model does."""
    ids: list[str]
    """Of each text."""
    key_id: str
    start: float
    """When it came, by `time.perf_counter`."""
    experiment: str


class Service:
    """A champion that answers, a challenger beside it while an experiment is on, and their log."""

    def __init__(
        self,
        champion: ServedModel,
        source: ModelSource,
        params: ServeParams,
        log: LogWriter,
        metrics: Metrics | None = None,
        name: str = DEFAULT_MODEL,
        n_workers: int = 1,
    ) -> None:
        self.champion, self.params, self.log, self.name = champion, params, log, name
        self.challenger: ServedModel | None = None
        self.experiment: Experiment = OFF
        self.metrics = metrics or Metrics()
        self.draining = False
        self.trouble = ""
        """Why another model or experiment cannot be loaded; empty while all is well."""
        self._source = source
        self._background: set[asyncio.Task[None]] = set()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._explainer = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._n_explanations = 0
        self._changing = asyncio.Lock()
        max_tokens = champion.predictor.manifest.max_tokens
        self.batcher = Batcher(
            n_workers,
            params.max_batch,
            params.window_ms,
            params.max_wait_ms,
            6 * max_tokens or params.max_text_characters,
            self._count_batch,
        )
        self._shown: dict[str, str] = {}
        """Arm → version, as the metrics show them."""
        self._show_model()

    def start(self) -> None:
        """Begin to answer; inside of an event loop."""
        self.batcher.start()
        self._spawn(self._watch())

    async def close(self) -> None:
        """Answer what waits."""
        await self.batcher.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        self._loader.shutdown(cancel_futures=True)
        self._explainer.shutdown(cancel_futures=True)

    async def predict(
        self, texts: Sequence[str], unit: str | None, key_id: str, start: float, owner: bytes = b""
    ) -> Answer:
        """The answer of the arm that the experiment gives the unit; without a unit each request is one of its own.

        A challenger that fails is logged, and the champion answers in its place.

        Raises:
            OverloadedError: the texts would wait too long.
        """
        champion, challenger, experiment = self.champion, self.challenger, self.experiment
        request_ids = [new_id(owner) for _ in texts]
        unit = unit or request_ids[0]
        request = Request(texts, request_ids, key_id, start, experiment.logged(unit))
        if challenger is not None and assign(unit, experiment) == "challenger":
            try:
                request = request._replace(texts=await _read(challenger, texts))
                proba = await self.batcher.score(challenger.predictor, request.texts, challenger.pace)
            except OverloadedError:
                self._log_failed(request, challenger, "challenger", 429)
                raise
            except Exception:
                _LOGGER.exception("the challenger failed")
                self._log_failed(request, challenger, "challenger", 500)
            else:
                self._log(request, challenger, "challenger", proba)
                return Answer(challenger, proba, request_ids)
        try:
            request = request._replace(texts=await _read(champion, texts))
            proba = await self.batcher.score(champion.predictor, request.texts, champion.pace)
        except Exception as error:
            self._log_failed(request, champion, "champion", 429 if isinstance(error, OverloadedError) else 500)
            raise
        self._log(request, champion, "champion", proba)
        if challenger is not None and experiment.mode == "shadow":
            self._spawn(self._shadow(texts, request_ids, key_id, experiment.logged(unit), challenger))
        return Answer(champion, proba, request_ids)

    async def explain(self, text: str) -> tuple[ServedModel, Attribution]:
        """SHAP values of the champion's prediction, made in a thread of their own, one at a time.

        Raises:
            OverloadedError: too many wait already.
        """
        if self._n_explanations >= self.params.max_explanations:
            raise OverloadedError(1.0)
        champion, self._n_explanations = self.champion, self._n_explanations + 1

        def make() -> Attribution:
            score = cached_score(champion.predictor)
            return attribute(champion.predictor, score, champion.read([text]), self.params.explain_max_evals)[0]

        try:
            return champion, await asyncio.get_running_loop().run_in_executor(self._explainer, make)
        finally:
            self._n_explanations -= 1

    async def reload(self) -> bool:
        """Load the current champion and experiment; returns whether anything changed.

        The new model is loaded beside the old one, which answers until the new one has answered once.

        Raises:
            RatchetError: what is named cannot be loaded; the old one goes on.
        """
        loop = asyncio.get_running_loop()
        async with self._changing:
            changed = False
            pinned, experiment = await loop.run_in_executor(self._loader, self._source.look)
            if pinned and pinned != self.champion.manifest_sha256:
                self.champion = await loop.run_in_executor(self._loader, self._source.load)
                changed = True
            if experiment != self.experiment:
                self.challenger = await loop.run_in_executor(self._loader, self._load_challenger, experiment)
                self.experiment, changed = experiment, True
            if changed:
                self.metrics.swaps.labels(self.name, "loaded").inc()
                self._show_model()
        return changed

    def _load_challenger(self, experiment: Experiment) -> ServedModel | None:
        if experiment.mode == "off":
            return None
        if self.challenger is not None and self.challenger.manifest_sha256 == experiment.manifest_sha256:
            return self.challenger
        bundle = Path(experiment.bundle)
        return load_model(bundle, "", self._source.passes, experiment.manifest_sha256)

    async def _watch(self) -> None:
        """Look at pointer and experiment for ever: whatever they hold, it is reported and looked at again."""
        while True:
            await asyncio.sleep(self.params.watch_s)
            try:
                await self.reload()
                self.trouble = ""
            except Exception as error:
                trouble = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                if trouble != self.trouble:  # once for each error, not every second
                    self.trouble = trouble
                    self.metrics.swaps.labels(self.name, "failed").inc()
                    _LOGGER.warning("%s: another model cannot be loaded, the old one goes on: %s", self.name, error)

    async def _shadow(
        self, texts: Sequence[str], request_ids: list[str], key_id: str, experiment: str, model: ServedModel
    ) -> None:
        """Shadow prediction by the challenger; skipped while the server is busy."""
        request = Request(texts, request_ids, key_id, time.perf_counter(), experiment)
        try:
            request = request._replace(texts=await _read(model, texts))
            proba = await self.batcher.score(model.predictor, request.texts, model.pace, spare=True)
        except OverloadedError:
            return
        except Exception:
            _LOGGER.exception("the challenger failed in the shadow")
            self._log_failed(request, model, "shadow", 500)
        else:
            self._log(request, model, "shadow", proba)

    def _log(self, request: Request, model: ServedModel, arm: str, proba: Proba) -> None:
        classes = proba.argmax(axis=1)
        rows = self._rows(request, model, arm, 200)
        for row, text, values, best in zip(rows, request.texts, proba, classes, strict=True):
            label = model.labels[best]
            row.update(text=text, predicted=label, confidence=float(values[best]), proba=values)
            self.metrics.count_prediction(self.name, label, arm)
        self.log.add("predictions", rows)

    def _log_failed(self, request: Request, model: ServedModel, arm: str, status: int) -> None:
        self.log.add("predictions", self._rows(request, model, arm, status))

    def _rows(self, request: Request, model: ServedModel, arm: str, status: int) -> list[dict[str, object]]:
        now, latency_ms = microseconds(datetime.now(UTC)), 1000 * (time.perf_counter() - request.start)
        shared = {
            "timestamp": now,
            "text": None,
            "predicted": None,
            "confidence": None,
            "proba": None,
            "model_version": model.log_version,
            "latency_ms": latency_ms,
            "status": status,
            "key_id": request.key_id,
            "arm": arm,
            "experiment": request.experiment,
        }
        return [{**shared, "request_id": request_id} for request_id in request.ids]

    def add_feedback(self, row: Row) -> bool:
        """Log feedback; returns whether the log accepted it."""
        self.metrics.feedback.labels(self.name, row["kind"]).inc()
        return self.log.add("feedback", [row]) == 1

    def _count_batch(self, done: BatchDone) -> None:
        self.metrics.batch_texts.observe(done.n_texts)
        self.metrics.model_cpu.inc(done.cpu_s)

    def _show_model(self) -> None:
        shown = {"champion": self.champion.version}
        if self.challenger is not None:
            shown["challenger"] = self.challenger.version
        for arm, version in self._shown.items():
            self.metrics.model.remove(self.name, arm, version)
        for arm, version in shown.items():
            self.metrics.model.labels(self.name, arm, version).set(1)
        self._shown = shown
        self.metrics.load_s.labels(self.name).set(self.champion.load_s)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _read(model: ServedModel, texts: Sequence[str]) -> Sequence[str]:
    """The texts as the model reads them; many or long ones are cleaned beside the event loop, on which others wait."""
    if sum(map(len, texts)) <= MAX_CLEANED_IN_LOOP:
        return model.read(texts)
    return await asyncio.to_thread(model.read, texts)
