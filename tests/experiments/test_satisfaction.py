"""Feedback joined to answers: the latest counts, silence is nothing, and bounds tell what silence could hide."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import simulation
from ratchet.experiments.satisfaction import approvals, rate, satisfaction, true_labels

NOON = pd.Timestamp("2026-01-01T12:00:00Z")


def answers(*predicted: str, arm: str = "champion") -> pd.DataFrame:
    names = [f"r{index}" for index in range(len(predicted))]
    return pd.DataFrame({"request_id": names, "predicted": list(predicted), "arm": arm})


def feedback_rows(*rows: tuple[str, str, float | None, str | None]) -> pd.DataFrame:
    found = [
        {
            "request_id": name,
            "timestamp": NOON + pd.Timedelta(seconds=index),
            "kind": kind,
            "value": value,
            "label": label,
        }
        for index, (name, kind, value, label) in enumerate(rows)
    ]
    return pd.DataFrame(found, columns=["request_id", "timestamp", "kind", "value", "label"])


def test_thumbs_and_corrections_approve_or_complain_and_silence_is_nothing() -> None:
    log = answers("positive", "positive", "positive", "negative", "negative", "negative")
    feedback = feedback_rows(
        ("r0", "thumb", 1.0, None),
        ("r1", "thumb", 0.0, None),
        ("r2", "correction", None, "negative"),
        ("r3", "correction", None, "negative"),
        ("elsewhere", "thumb", 0.0, None),
    )
    expected = [1.0, 0.0, 0.0, 1.0, np.nan, np.nan]
    np.testing.assert_array_equal(approvals(log, feedback), expected)
    np.testing.assert_array_equal(approvals(log, feedback_rows()), [np.nan] * 6)
    shuffled = feedback.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(approvals(log, shuffled), expected)


def test_the_latest_word_counts() -> None:
    log = answers("positive")
    assert approvals(log, feedback_rows(("r0", "thumb", 1.0, None), ("r0", "thumb", 0.0, None))).tolist() == [0.0]
    assert approvals(log, feedback_rows(("r0", "thumb", 0.0, None), ("r0", "thumb", 1.0, None))).tolist() == [1.0]


def test_labels_are_what_users_named_or_approved() -> None:
    log = pd.concat([answers("positive", "positive", "positive"), answers("negative", "x", "x", arm="shadow")])
    feedback = feedback_rows(
        ("r0", "thumb", 1.0, None),
        ("r1", "thumb", 0.0, None),
        ("r2", "correction", None, "negative"),
        ("r2", "thumb", 0.0, None),
    )
    assert true_labels(log, feedback) == {"r0": "positive", "r2": "negative"}
    assert true_labels(log, feedback_rows()) == {}


def test_bounds_of_approval_hold_the_truth_whoever_stays_silent() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(3000) < 0.7).astype(float)
    silent = rng.random(3000) < np.where(truth == 1, 0.95, 0.6)  # the unhappy speak up
    found = satisfaction(np.where(silent, np.nan, truth))
    assert found["approval_of_those_who_answered"]["value"] < 0.5 < truth.mean()
    assert found["approval_if_all_others_complained"] < truth.mean() < found["approval_if_all_others_approved"]
    assert found["n_with_feedback"] == int((~silent).sum())
    assert found["complaint_rate"]["value"] == pytest.approx(float(((truth == 0) & ~silent).mean()))
    assert satisfaction(np.zeros(0))["approval_of_those_who_answered"]["reason"]


def test_a_rates_interval_holds_at_every_look() -> None:
    rng = np.random.default_rng(1)
    n_lost = 0
    for _ in range(60):
        hits = np.cumsum(rng.random(400) < 0.1)
        looks = [rate(float(hits[n - 1]), n) for n in range(20, 401, 20)]
        n_lost += any(not look.low <= 0.1 <= look.high for look in looks)
    assert n_lost <= 6


def test_simulated_users_keep_their_habits_and_their_seed() -> None:
    labelled = pd.DataFrame({"text": ["good", "bad"], "label": ["positive", "negative"]})
    asked = simulation.requests(labelled, 20_000, NOON, 5.0, np.random.default_rng(0))
    assert asked["request_id"].is_unique
    assert asked["timestamp"].is_monotonic_increasing
    assert (asked["timestamp"].iloc[-1] - NOON).total_seconds() == pytest.approx(4000, rel=0.05)
    rng = np.random.default_rng(1)
    predicted = np.where(rng.random(20_000) < 0.8, asked["label"], "other")
    shown = asked.assign(predicted=predicted)
    habits = simulation.Habits(thumb_down=0.3, thumb_up=0.1, correction=0.2, mistaken=0.05)
    given = simulation.feedback(shown, habits, np.random.default_rng(2))
    wrong = set(shown.loc[shown["predicted"] != shown["label"], "request_id"])
    of_wrong = given[given["request_id"].isin(wrong)]
    assert (given["kind"] == "correction").sum() / len(wrong) == pytest.approx(0.2, abs=0.02)
    assert ((of_wrong["kind"] == "thumb") & (of_wrong["value"] == 0)).sum() / len(wrong) == pytest.approx(0.3, abs=0.02)
    right = given[~given["request_id"].isin(wrong)]
    assert (right["value"] == 1).sum() / (20_000 - len(wrong)) == pytest.approx(0.1, abs=0.01)
    assert (right["value"] == 0).sum() / (20_000 - len(wrong)) == pytest.approx(0.05, abs=0.01)
    joined = given.merge(asked, on="request_id")
    assert (joined["timestamp_x"] >= joined["timestamp_y"]).all()
    pd.testing.assert_frame_equal(given, simulation.feedback(shown, habits, np.random.default_rng(2)))
    with pytest.raises(ValueError, match="one thing"):
        simulation.Habits(thumb_down=0.6, correction=0.5)
