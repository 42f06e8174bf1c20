"""What labels cost and bring: by hand on small stores, and undefined where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ratchet.labels.human_labels import join_human_labels, usable_labels
from ratchet.labels.label_cost import gain_per_hundred_labels, people_report, seconds_per_label
from ratchet.labels.label_efficiency import Curves
from ratchet.labels.resolution import resolve
from ratchet.labels.store import Store
from ratchet.measure.primary import primary_metric
from ratchet.tables import ANNOTATIONS, HUMAN_LABELS, empty_table
from tests.support.answers import stored_answers
from tests.support.tiny import reviews

ACCURACY = primary_metric("accuracy", ["no", "yes"])

ROWS = [
    ("t", "anna", "yes"),
    ("t", "ben", "yes"),
    ("u", "anna", "yes"),
    ("u", "ben", "no"),
    ("v", "anna", "no"),
    ("v", "ben", "no"),
    ("w", "anna", "no"),
]


def test_seconds_count_overlap_and_conflicts_and_leave_out_what_is_undecided() -> None:
    answers = stored_answers(ROWS, lead_time_s=6.0)
    decisions = resolve(answers, 2, 0.6)
    estimate = seconds_per_label(answers, decisions, seed=0)
    assert estimate.value == pytest.approx(6 * 6 / 2)  # six answers on t, u, v; t and v are resolved
    assert estimate.n == 3
    assert estimate.low <= estimate.value <= estimate.high


def test_a_text_with_an_answer_that_nobody_timed_does_not_count() -> None:
    answers = stored_answers(ROWS, lead_time_s=6.0)
    answers.loc[(answers["id"] == "t") & (answers["label"] == "yes"), "lead_time_s"] = [np.nan, 6.0]
    assert seconds_per_label(answers, resolve(answers, 2, 0.6), seed=0).value == pytest.approx(4 * 6 / 1)
    answers["lead_time_s"] = np.nan
    estimate = seconds_per_label(answers, resolve(answers, 2, 0.6), seed=0)
    assert math.isnan(estimate.value)
    assert estimate.reason == "no resolved label has a lead time"


def test_a_changed_answer_costs_its_last_time_only() -> None:
    answers = stored_answers([("t", "anna", "no"), ("t", "anna", "yes"), ("t", "ben", "yes")], lead_time_s=5.0)
    assert seconds_per_label(answers, resolve(answers, 2, 0.6), seed=0).value == 10.0


def test_the_report_prices_the_seconds() -> None:
    answers = stored_answers(ROWS, lead_time_s=9.0)
    report = people_report(Store(answers, resolve(answers, 2, 0.6)), ["no", "yes"], 40.0, seed=0)
    assert report["hours"] == pytest.approx(7 * 9 / 3600)
    assert report["seconds_per_label"]["value"] == pytest.approx(27)
    assert report["usd_per_hundred_labels"]["value"] == pytest.approx(100 * 27 / 3600 * 40)
    assert (report["n_answers"], report["n_people"], report["n_resolved"], report["n_escalated"]) == (7, 2, 2, 1)
    assert report["agreement"]["n_texts_with_two_answers"] == 3


def test_nobody_s_labels_cost_nothing_that_is_known() -> None:
    report = people_report(Store(empty_table(ANNOTATIONS), empty_table(HUMAN_LABELS)), ["no", "yes"], 40.0, seed=0)
    assert report["usd_per_hundred_labels"]["reason"] == "no person has labelled a text yet"
    assert report["hours"] == 0.0
    assert "agreement" not in report


def test_the_gain_is_the_slope_of_the_last_hundred_labels() -> None:
    scores = {"margin": np.array([[0.5, 0.6, 0.7, 0.8], [0.5, 0.6, 0.72, 0.84]])}
    curves = Curves([50, 100, 150, 250], scores, ACCURACY)
    gain = gain_per_hundred_labels(curves, "margin")
    assert gain.value == pytest.approx((0.10 + 0.12) / 2)
    half = 12.706204736432095 * 0.02 / 2  # t(0.975, 1) × standard deviation / √2, https://doi.org/10.1093/biomet/6.1.1
    assert (gain.low, gain.high) == pytest.approx((gain.value - half, gain.value + half))


def test_the_gain_may_be_a_loss_and_is_undefined_for_a_point() -> None:
    falling = Curves([50, 100], {"margin": np.array([[0.7, 0.6]])}, ACCURACY)
    assert gain_per_hundred_labels(falling, "margin").value == pytest.approx(-0.2)
    costs = primary_metric("expected_cost", ["no", "yes"], cost_matrix=[[0, 1], [9, 0]])
    cheaper = Curves([50, 100], {"margin": np.array([[0.7, 0.6]])}, costs)
    assert gain_per_hundred_labels(cheaper, "margin").value == pytest.approx(0.2)
    assert math.isnan(gain_per_hundred_labels(Curves([50], {"margin": np.array([[0.7]])}, ACCURACY), "margin").value)


def test_no_human_labels_leave_the_pool_as_it_was() -> None:
    train = reviews(20, 1)
    joined = join_human_labels(train, empty_table(HUMAN_LABELS))
    assert joined.train is train
    assert not joined.by_people.any()
    assert joined.elsewhere.empty


def test_only_resolved_labels_of_texts_that_are_not_held_out_are_usable() -> None:
    decisions = resolve(stored_answers(ROWS), 2, 0.6)
    held_out = pd.DataFrame({"id": ["v", "other"], "text": ["of another kind", ""]})
    usable = usable_labels(decisions, ["t"], [held_out], 0.8)
    assert usable.labels["id"].tolist() == ["t"]
    assert usable.n_held_out == 1
    pd.testing.assert_frame_equal(usable_labels(decisions[::-1], ["t"], [held_out], 0.8).labels, usable.labels)
