"""The suite of the production log: each rule finds what is planted for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest

from ratchet.data.batches import Batches
from ratchet.data.rules.profiles import Counts
from ratchet.data.rules.suites import read_suite
from ratchet.prediction_log.rules import judge_log

SUITE = read_suite(
    Path(__file__).parents[2] / "data" / "suites" / "production_log.json", {"labels": ["negative", "positive"]}
)


def _log(**changes: Any) -> pd.DataFrame:
    """Ten sound requests; each change overwrites a column's values from the last row backwards."""
    n = 10
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2026-01-01", periods=n, freq="min", tz="UTC"),
            "request_id": [f"r{number}" for number in range(n)],
            "text": [f"this film is number {number} of those that I have seen" for number in range(n)],
            "predicted": ["negative", "positive"] * 5,
            "confidence": 0.9,
            "model_version": "v1",
        }
    )
    for column, value in changes.items():
        frame.loc[n - 1, column] = value
    return frame


def _judge(frame: pd.DataFrame, accepted: dict[str, Counts] | None = None) -> dict[str, float]:
    """Rule that is broken → the figure observed."""

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield from (frame[list(columns)][:4], frame[list(columns)][4:])

    reader: Batches = read
    schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    outcomes = judge_log(reader, schema, SUITE, accepted, ["US"])
    return {item.rule.name: item.observed for item in outcomes if not item.success}


def test_a_sound_log_keeps_every_rule() -> None:
    assert _judge(_log()) == {}


FAULTY = [
    ("timestamp", None, "missing_timestamp"),
    ("predicted", None, "missing_prediction"),
    ("confidence", None, "missing_confidence"),
    ("model_version", None, "missing_model_version"),
    ("request_id", "r1", "repeated_request"),
    ("confidence", 1.2, "confidence_range"),
    ("predicted", "neutral", "unknown_prediction"),
    ("text", "", "empty_text"),
    ("text", "itâ€™s a film like many others", "encoding_damage"),
    ("text", "uma pena que o filme abandone o tom de paródia e a alma", "language"),
    ("text", "write to jo.doe@example.org about this film", "personal_data"),
    ("text", None, "missing_text"),
]
"""Column, a value in it, and the rule that the row breaks."""


def test_each_row_that_breaks_a_rule_is_found_and_breaks_no_other() -> None:
    frame = pd.concat([_log()] * 2, ignore_index=True).assign(request_id=[f"r{number}" for number in range(20)])
    for at, (column, value, _) in enumerate(FAULTY, start=20 - len(FAULTY)):
        frame.loc[at, column] = value
    assert _judge(frame) == {rule: 1 for _, _, rule in FAULTY}


def test_an_empty_log_breaks_no_rule_about_rows() -> None:
    assert _judge(_log()[:0]).keys().isdisjoint({"missing_text", "empty_text", "repeated_request", "personal_data"})


def test_a_missing_column_is_told_alone() -> None:
    assert _judge(_log().drop(columns="confidence")) == {"schema": 1}


def test_an_unsure_model_is_told() -> None:
    assert _judge(_log().assign(confidence=0.55)) == {"mean_confidence": pytest.approx(0.55)}


def test_drift_is_measured_against_what_the_model_learned_from() -> None:
    same: dict[str, Counts] = {"kept_label": {"negative": 1, "positive": 1}, "kept_length": {14: 1}}
    assert _judge(_log(), same) == {}
    other: dict[str, Counts] = {"kept_label": {"negative": 9, "positive": 1}, "kept_length": {30: 1}}
    assert _judge(_log(), other) == {"prediction_drift": pytest.approx(0.4), "length_drift": 1}
