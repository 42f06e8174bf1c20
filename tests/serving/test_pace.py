"""What a server measures of its model at the start, on a clock that the model moves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.models.batching import Tokens
from ratchet.models.predictor import Predictor, Proba, TokenPredictor
from ratchet.serving.pace import Layout, Pace, choose_layout, layout_for, measure_pace, n_cores


class Clocked(TokenPredictor):
    """A pass takes `fixed` seconds, and `each` a token, padding included."""

    def __init__(self, fixed: float, each: float, full: int = 1000) -> None:
        self.now, self._fixed, self._each, self._full = 0.0, fixed, each, full

    def clock(self) -> float:
        return self.now

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        return [[1] * len(text.split()) for text in texts]

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        return self.predict_proba_tokens(self.encode(texts))

    def predict_proba_tokens(self, tokens: Sequence[Tokens]) -> Proba:
        n = (
            len(tokens) if len(tokens) <= self._full else len(tokens) ** 2 / self._full
        )  # beyond its cache it slows down
        self.now += self._fixed + self._each * n * max(map(len, tokens))
        return np.zeros((len(tokens), 2))

    def _logits(self, ids: Any, mask: Any) -> Any:
        raise NotImplementedError


class Reader(Predictor):
    """Reads texts itself."""

    def __init__(self) -> None:
        pass

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        return np.zeros((len(texts), 2))


@pytest.mark.parametrize("fixed", [2, 8, 40])
def test_a_pass_costs_what_its_clock_says(fixed: float) -> None:
    model = Clocked(fixed * 1e-5, 1e-5)
    assert measure_pace(model, 32, model.clock).pass_cost == pytest.approx(fixed)


def test_the_batch_is_the_smallest_that_is_nearly_fastest() -> None:
    cheap, dear, small = Clocked(1e-6, 1e-5), Clocked(1e-3, 1e-5), Clocked(1e-3, 1e-5, full=8)
    assert measure_pace(cheap, 32, cheap.clock).batch_size == 1
    assert measure_pace(dear, 32, dear.clock).batch_size == 32
    assert measure_pace(small, 32, small.clock).batch_size == 8


def test_a_slow_model_is_not_measured_for_long() -> None:
    model = Clocked(1.0, 0.01)
    assert measure_pace(model, 1024, model.clock).batch_size == 1
    assert model.now < 30


def test_a_disturbed_clock_gives_no_absurd_cost() -> None:
    model = Clocked(10.0, 1e-12)
    assert measure_pace(model, 4, model.clock).pass_cost == 64


def test_a_model_that_reads_texts_takes_all_that_wait() -> None:
    assert measure_pace(Reader(), 32) == Pace(batch_size=32)


class Parallel(Clocked):
    """Each thread adds `gain` to its speed; workers' passes of many texts are at the same time, each on its cores."""

    def __init__(self, n_threads: int, gain: float, n_workers: int) -> None:
        super().__init__(0.0, 1e-3 / (1 + gain * (n_threads - 1)))
        self._n_workers = n_workers

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        began = self.now
        proba = super().predict_proba(texts)
        if len(texts) > 1:
            self.now = began + (self.now - began) / self._n_workers
        return proba


@pytest.mark.parametrize(
    ("gain", "expected"),
    [(0.0, Layout(4, 1)), (0.95, Layout(1, 4)), (0.5, Layout(4, 1))],
)
def test_threads_are_for_models_whose_passes_they_shorten(gain: float, expected: Layout) -> None:
    shared: list[Clocked] = []

    def load(n_threads: int) -> Predictor:
        shared.append(Parallel(n_threads, gain, 4 // n_threads))
        return shared[-1]

    assert choose_layout(load, 8, 4, lambda: sum(model.now for model in shared)) == expected


def test_settings_that_are_numbers_stand_and_auto_fills_the_cores() -> None:
    def measured() -> Layout:
        raise AssertionError("both are known")

    assert layout_for(2, 3, 8, measured) == Layout(2, 3)
    assert layout_for("auto", 3, 8, measured) == Layout(2, 3)
    assert layout_for(16, "auto", 8, measured) == Layout(16, 1)
    assert layout_for("auto", "auto", 8, lambda: Layout(4, 2)) == Layout(4, 2)


def test_a_container_has_the_cores_of_its_quota(tmp_path: Path) -> None:
    quota, unlimited = tmp_path / "cpu.max", n_cores(tmp_path / "none")
    quota.write_text("100000 100000\n")
    assert n_cores(quota) == 1
    for said in ("max 100000\n", "", "0 0", "a b"):
        quota.write_text(said)
        assert n_cores(quota) == unlimited
