"""The batcher: the same answers as without it, bounded waiting, errors that stay with their requests."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.engines.loading import load
from ratchet.models.predictor import Proba, TokenPredictor
from ratchet.serving.batcher import BatchDone, Batcher, OverloadedError
from tests.support.bundles import torch_bundle
from tests.support.linear_words import LinearWords
from tests.support.tiny import reviews


class Slow(LinearWords):
    """Takes a millisecond for every text, and fails on one that asks for it."""

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        time.sleep(0.001 * len(texts))
        if "fail" in texts:
            raise ValueError("as asked")
        return super().predict_proba(texts)


def _batcher(done: list[BatchDone], max_wait_ms: float = 60_000, n_workers: int = 2) -> Batcher:
    return Batcher(n_workers, 16, 0.0, max_wait_ms, 1000, done.append)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_every_request_gets_its_own_answer_whatever_it_was_batched_with() -> None:
    rng = random.Random(3)
    words = ["superb", "moving", "dull", "flat", "film"]
    asked = [[" ".join(rng.choices(words, k=rng.randint(1, 2))) for _ in range(rng.randint(1, 5))] for _ in range(200)]
    models = [LinearWords(), LinearWords({"superb": -0.1, "dull": 0.1})]
    done: list[BatchDone] = []

    async def work() -> None:
        batcher = _batcher(done)
        batcher.start()
        answers = await asyncio.gather(*(batcher.score(models[n % 2], texts) for n, texts in enumerate(asked)))
        await batcher.close()
        for n, (texts, proba) in enumerate(zip(asked, answers, strict=True)):
            np.testing.assert_array_equal(proba, models[n % 2].predict_proba(texts))

    _run(work())
    assert sum(item.n_texts for item in done) == sum(map(len, asked))


def test_requests_that_wait_together_are_scored_together() -> None:
    done: list[BatchDone] = []

    async def work() -> None:
        batcher, model = _batcher(done, n_workers=1), Slow()
        batcher.start()
        await asyncio.gather(*(batcher.score(model, ["dull"]) for _ in range(32)))
        await batcher.close()

    _run(work())
    assert [item.n_texts for item in done] == [16, 16]


def test_what_would_wait_too_long_is_refused_at_once_and_the_rest_is_answered_in_time() -> None:
    """At ten times what can be done: the waits stay bounded, everything is either answered or refused."""
    waits: list[float] = []
    refused: list[float] = []

    async def work() -> None:
        batcher, model = _batcher([], max_wait_ms=100, n_workers=1), Slow()
        batcher.start()
        for _ in range(5):
            await batcher.score(model, ["dull"] * 4)  # the rate is measured

        async def ask() -> None:
            start = time.monotonic()
            try:
                await batcher.score(model, ["dull"] * 10)
                waits.append(time.monotonic() - start)
            except OverloadedError as error:
                refused.append(error.retry_after_s)

        await asyncio.gather(*(ask() for _ in range(200)))
        await batcher.close()

    _run(work())
    assert len(waits) + len(refused) == 200
    assert len(refused) > 100
    assert len(waits) >= 5
    assert min(refused) > 0.1


def test_spare_work_is_refused_earlier() -> None:
    async def work() -> None:
        batcher, model = _batcher([], max_wait_ms=100, n_workers=1), Slow()
        batcher.start()
        await batcher.score(model, ["dull"] * 4)
        tasks = []
        while batcher.expected_wait_s <= 0.05:
            tasks.append(asyncio.create_task(batcher.score(model, ["dull"] * 4)))
            await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await batcher.score(model, ["dull"], spare=True)
        tasks.append(asyncio.create_task(batcher.score(model, ["dull"])))
        await asyncio.gather(*tasks)
        await batcher.close()

    _run(work())


@pytest.mark.parametrize("bad", ["fail", "unreadable"])
def test_the_error_of_one_request_is_not_that_of_those_it_was_batched_with(bad: str) -> None:
    """A text that the model cannot score, and one that the tokenizer cannot read, among fifty others."""

    async def work() -> None:
        batcher, model = _batcher([]), Slow() if bad == "fail" else Recorded()
        if isinstance(model, Recorded):
            model.gate.set()
        batcher.start()
        asked = [["a b"] if n % 5 else ["a", bad, "b"] for n in range(50)]
        found = await asyncio.gather(*(batcher.score(model, texts) for texts in asked), return_exceptions=True)
        for texts, answer in zip(asked, found, strict=True):
            if bad in texts:
                assert isinstance(answer, ValueError)
            else:
                np.testing.assert_array_equal(answer, await batcher.score(model, texts))
        await batcher.close()
        assert batcher.expected_wait_s == pytest.approx(0, abs=1e-9)

    _run(work())


def test_an_error_fails_its_request_and_no_other_and_leaves_nothing_behind() -> None:
    async def work() -> None:
        batcher, model = _batcher([]), Slow()
        batcher.start()
        with pytest.raises(ValueError, match="as asked"):
            await batcher.score(model, ["fail"])
        assert (await batcher.score(model, ["dull"])).shape == (1, 2)
        gone = asyncio.create_task(batcher.score(model, ["dull"]))
        await asyncio.sleep(0)
        gone.cancel()  # the client went away
        assert (await batcher.score(model, ["dull"])).shape == (1, 2)
        await batcher.close()
        assert batcher.n_waiting == 0
        assert batcher.expected_wait_s == pytest.approx(0, abs=1e-9)

    _run(work())


class Recorded(TokenPredictor):
    """Reads a text as a token for each word, remembers what shared a pass, and answers with what no company changes."""

    def __init__(self) -> None:
        self.manifest = LinearWords().manifest
        self.passes: list[list[int]] = []
        self.begun, self.gate = threading.Event(), threading.Event()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        if "unreadable" in texts:
            raise ValueError("no text")
        return [[len(word) for word in text.split()] for text in texts]

    def predict_proba_tokens(self, tokens: Sequence[Sequence[int]]) -> Proba:
        self.begun.set()
        self.gate.wait()
        self.passes.append([len(item) for item in tokens])
        up = np.array([1 / (1 + sum(item)) for item in tokens])
        return np.stack([1 - up, up], axis=1)

    def _logits(self, ids: Any, mask: Any) -> Any:
        raise AssertionError


def test_the_oldest_goes_first_in_the_company_that_costs_least() -> None:
    """A worker is busy with the first text while the others come; lengths are words."""
    lengths = [3, 30, 5, 31, 6, 90, 29]

    async def work() -> None:
        batcher, model = _batcher([], n_workers=1), Recorded()
        batcher.start()
        texts = [" ".join(["a"] * length) for length in lengths]
        asked = [asyncio.create_task(batcher.score(model, [texts[0]]))]
        await asyncio.to_thread(model.begun.wait)
        asked += [asyncio.create_task(batcher.score(model, [text])) for text in texts[1:]]
        await asyncio.sleep(0)  # each task has asked
        assert batcher.n_waiting == 6
        model.gate.set()
        answers = await asyncio.gather(*asked)
        await batcher.close()
        assert model.passes == [[3], [29, 30, 31], [5, 6], [90]]
        for length, proba in zip(lengths, answers, strict=True):
            assert proba[0, 1] == pytest.approx(1 / (1 + length))

    _run(work())


def test_idle_workers_get_their_share_of_a_large_request() -> None:
    async def work() -> None:
        batcher, model = _batcher([], n_workers=2), Recorded()
        model.gate.set()
        batcher.start()
        await asyncio.sleep(0.05)  # both are idle
        proba = await batcher.score(model, [" ".join(["a"] * n) for n in [4] * 6 + [9] * 6])
        await batcher.close()
        np.testing.assert_allclose(proba[:, 1], [1 / 5] * 6 + [1 / 10] * 6)
        assert max(map(len, model.passes)) <= 6

    _run(work())


def test_a_text_that_cannot_be_read_fails_its_request_and_the_worker_goes_on() -> None:
    async def work() -> None:
        batcher, model = _batcher([]), Recorded()
        model.gate.set()
        batcher.start()
        with pytest.raises(ValueError, match="no text"):
            await batcher.score(model, ["unreadable"])
        assert (await batcher.score(model, ["a b"])).shape == (1, 2)
        await batcher.close()
        assert batcher.expected_wait_s == pytest.approx(0, abs=1e-9)

    _run(work())


@pytest.mark.slow
def test_each_text_gets_the_answer_that_it_gets_alone(tmp_path: Path) -> None:
    predictor = load(torch_bundle(tmp_path), 1)
    texts = [*reviews(9, 5)["text"], "dull", "superb " * 100]
    alone = np.concatenate([predictor.predict_proba([text]) for text in texts])

    async def work() -> None:
        batcher = _batcher([])
        batcher.start()
        together, *each = await asyncio.gather(
            batcher.score(predictor, texts), *(batcher.score(predictor, [text]) for text in texts)
        )
        await batcher.close()
        np.testing.assert_allclose(together, alone, atol=1e-6)
        np.testing.assert_allclose(np.concatenate(each), alone, atol=1e-6)

    _run(work())
