"""The benchmarks' own arithmetic, on reports and models of known figures; the measuring itself is run on demand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks import engines, table, training, tuning
from ratchet.errors import PipelineError
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor, Proba
from ratchet.models.tuning import Method
from ratchet.reporting.marked_block import replace_block
from tests.support.bundles import manifest

MACHINE = {"cpu": "a processor", "n_threads": 2}


def figure(value: float, low: float | None = None) -> dict[str, Any]:
    return Estimate(value, value if low is None else low, value, 3).to_json()


def test_every_method_is_among_the_variants() -> None:
    methods = {variant["method"] for variant in tuning.VARIANTS.values()}
    assert methods == set(Method.__args__)  # type: ignore[attr-defined]


def test_ratios_are_taken_within_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import dataclass

    from ratchet.models import forward
    from ratchet.models.examples import Examples

    @dataclass
    class Clock:
        now: float = 0.0

        def perf_counter(self) -> float:
            return self.now

        process_time = perf_counter

    clock = Clock()

    def arm(seconds: float) -> Any:
        def train(_task: Any, seed: int) -> None:
            clock.now += seconds * (seed + 1)  # the machine slows down for both alike

        return train

    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(forward, "logits_of", lambda *_: np.array([[1.0, 0.0]]))
    texts = Examples([[1] * 50], np.zeros(1, dtype=np.int64))
    task = type("Task", (), {"train": texts, "test": texts})()
    made = training.compare(task, {"ratchet": arm(1.0), "trainer": arm(3.0)}, 3)
    ratio = made["ratchet_against"]["trainer"]["tokens_per_second"]
    assert (ratio["value"], ratio["low"], ratio["high"]) == pytest.approx((3.0, 3.0, 3.0))
    assert made["arms"]["ratchet"]["tokens_per_second"]["high"] == 50 * training.N_EPOCHS


def test_streams_share_the_texts_and_score_each_once() -> None:
    class Recorder(Predictor):
        def __init__(self) -> None:
            super().__init__(manifest("recorder"))
            self.seen: list[str] = []

        def predict_proba(self, texts: Sequence[str]) -> Proba:
            self.seen += texts
            return np.full((len(texts), 2), 0.5)

    streams, texts = [Recorder(), Recorder()], [str(index) for index in range(100)]
    engines.on_streams(streams, texts)
    assert [len(stream.seen) for stream in streams] == [64, 36]
    assert sorted(streams[0].seen + streams[1].seen) == sorted(texts)


def test_the_engines_table_has_a_column_a_setting() -> None:
    report = {
        "command": "python -m benchmarks.engines",
        "machine": MACHINE,
        "reference": "PyTorch",
        "n_streams": 2,
        "latency": {"onnx-int8": {n: {"p95_ms": figure(3.25), "p95_speedup": figure(4.25, 3.5)} for n in ("1", "2")}},
        "batches": {"onnx-int8": {"1": figure(300.0), "32": figure(900.0)}},
        "streams": {"onnx-int8": figure(1000.0)},
        "tokenizing": figure(20000.0),
    }
    made = table.tables({"engines": report}).splitlines()
    assert made[-1] == "Tokenising alone: 20,000 rows a second."
    assert made[2].count("|") == made[-3].count("|") == 8
    assert made[-3] == "| onnx-int8 | 3.25 | 3.25 | 4.25 [3.50, 4.25] | 300 | 900 | 1,000 |"


def test_the_tables_hold_the_figures_and_replace_the_block() -> None:
    report = {
        "command": "python -m benchmarks.tuning",
        "machine": MACHINE,
        "variants": {
            "lora": {"n_trainable": 1234, "cpu_s": 56.0, "training_memory_mb": 789.0, "accuracy": figure(0.8, 0.7)}
        },
    }
    made = table.tables({"tuning": report})
    assert "| lora | 1,234 | 56 | 789 | 0.800 [0.700, 0.800] |" in made
    assert "`python -m benchmarks.tuning` on a processor, 2 threads:" in made
    text = "before\n<!-- efficiency:start -->\nold\n<!-- efficiency:end -->\nafter"
    expected = f"before\n<!-- efficiency:start -->\n{made}\n<!-- efficiency:end -->\nafter"
    assert replace_block(text, "efficiency", made) == expected
    with pytest.raises(PipelineError, match="no block"):
        replace_block("nothing", "efficiency", made)
