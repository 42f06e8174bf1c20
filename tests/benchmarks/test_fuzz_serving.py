"""The short form of `make fuzz-serving`: hostile clients beside good ones, for some seconds; and its judgement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import fuzz_serving
from tests.support.live_server import serving, word_bundle


@pytest.mark.service
@pytest.mark.slow
def test_no_good_request_fails_beside_hostile_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_serving, "conformance_command", lambda *_: ["true"])  # it has a test of its own
    with serving(tmp_path, "--bundle", str(word_bundle(tmp_path / "words"))) as server:
        secret = server.client.headers["Authorization"].removeprefix("Bearer ")
        port = int(server.url.rsplit(":", 1)[1])
        found = fuzz_serving.run_round(psutil.Process(server.process.pid), port, secret, 3, 4.0)
        assert server.client.post("/v1/predict", json={"text": "superb"}).status_code == 200
    assert sum(found["hostile"]["requests"].values()) > 50
    assert len(found["hostile"]["requests"]) >= 5
    assert not {"500", "502", "504"} & set(found["hostile"]["statuses"])
    done = {**fuzz_serving.add_round(fuzz_serving.EMPTY, found), "p99_ratio": 1.0}  # of so few seconds it says nothing
    assert done["good"]["200"] > 50
    assert fuzz_serving.broken_bars(done) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"good": {"200": 9, "500": 1}}, "1 good requests got 500"),
        ({"p99_ratio": 2.1}, "p99 is 2.10 times"),
        ({"p99_ratio": float("nan")}, "p99 is nan"),
        ({"memory_growth": 1.1}, "memory grew to 1.10"),
        ({"n_not_conforming": 2}, "2 rounds differ"),
        ({"rounds": [{"hostile": {"good_cut": True}}]}, "cut in 1 rounds"),
    ],
)
def test_what_does_not_hold_is_named(change: dict[str, Any], said: str) -> None:
    sound = {"good": {"200": 9, "429": 3}, "p99_ratio": 1.9, "memory_growth": 1.0, "n_not_conforming": 0, "rounds": []}
    assert fuzz_serving.broken_bars(sound) == []
    [found] = fuzz_serving.broken_bars(sound | change)
    assert said in found
