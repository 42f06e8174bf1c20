"""Late labels: joined by request, and a cumulative sum with the error rate it states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow
import pytest

from ratchet.monitoring.delayed_labels import cusum, cusum_path, join_labels

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_last_correction_counts_and_strangers_do_not() -> None:
    predictions = pyarrow.table(
        {"request_id": ["a", "b", "c"], "predicted": ["yes", "yes", "no"], "confidence": [0.9, 0.8, 0.7]}
    )
    corrections = [
        ("a", "correction", "no"),
        ("a", "correction", "yes"),
        ("b", "correction", "no"),
        ("c", "thumb", None),
        ("x", "correction", "no"),
    ]
    feedback = pyarrow.table(
        {
            "timestamp": [START + timedelta(minutes=i) for i in range(5)],
            "request_id": [row[0] for row in corrections],
            "kind": [row[1] for row in corrections],
            "value": [None, None, None, 1.0, None],
            "label": [row[2] for row in corrections],
        }
    )
    joined = join_labels(predictions, feedback)
    assert joined.wrong.tolist() == [False, True]
    assert joined.confidence.tolist() == [0.9, 0.8]
    assert joined.accuracy().value == 0.5


def test_the_sum_is_the_one_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(300) < 0.3
    total, expected = 0.0, []
    for one in wrong:
        total = max(0.0, total + (np.log(0.4 / 0.2) if one else np.log(0.6 / 0.8)))
        expected.append(total)
    np.testing.assert_allclose(cusum_path(wrong[None], 0.2, 0.4)[0], expected)


def test_it_alarms_falsely_as_seldom_as_stated() -> None:
    rng = np.random.default_rng(1)
    alarms = [cusum(rng.random(800) < 0.2, 0.2, 0.08, 800, 0.05, 2).alarm_at is not None for _ in range(400)]
    assert 0.01 < np.mean(alarms) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_a_rise_is_found_soon() -> None:
    rng = np.random.default_rng(3)
    found = [cusum(rng.random(2000) < 0.18, 0.10, 0.08, 1000, 0.05, 2).alarm_at for _ in range(60)]
    assert all(found)
    assert np.median([at for at in found if at]) < 400


@pytest.mark.parametrize("usual", [0.0, 1.0])
def test_a_model_that_was_never_wrong_or_always_is_no_division_by_zero(usual: float) -> None:
    assert np.isfinite(cusum(np.array([False, True, True]), usual, 0.1, 100, 0.05, 0).highest)
