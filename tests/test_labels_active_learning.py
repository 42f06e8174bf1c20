"""The learning loop, and the label-efficiency curve that is read off it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ratchet.labels.active_learning import fit_selection_model, learn, query_sizes, unit_length
from ratchet.labels.label_efficiency import Curves, curve_table, label_efficiency, labels_to_reach, seed_estimate
from ratchet.labels.query_strategies import QUERY_STRATEGIES


def two_clouds(n: int, seed: int, distance: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    points = rng.normal(size=(n, 6)) + distance * np.where(targets == 1, 1, -1)[:, None] * np.eye(6)[0]
    return points.astype(np.float32), targets


@pytest.mark.parametrize(("n_initial", "budget", "n_rounds"), [(50, 1500, 10), (5, 7, 10), (10, 10, 3), (30, 8, 2)])
def test_sizes_sum_to_the_budget_and_none_is_empty(n_initial: int, budget: int, n_rounds: int) -> None:
    sizes = query_sizes(n_initial, budget, n_rounds)
    assert sum(sizes) == budget
    assert min(sizes) > 0
    assert sizes[0] == min(n_initial, budget)


def test_the_loop_only_ever_looks_at_labels_it_asked_for() -> None:
    embeddings, targets = two_clouds(80, 1)

    class Oracle(np.ndarray):
        seen: set[int] = set()  # noqa: RUF012

        def __getitem__(self, key):  # type: ignore[no-untyped-def]
            Oracle.seen |= set(np.flatnonzero(key).tolist())
            return np.asarray(self)[key]

    rounds = learn(
        embeddings, targets.view(Oracle), 2, QUERY_STRATEGIES["margin"], [6, 5, 5], 1.0, np.random.default_rng(0)
    )
    asked = [new for new, _ in rounds]
    assert [len(new) for new in asked] == [6, 5, 5]
    assert Oracle.seen == set(np.concatenate(asked).tolist())
    assert len(Oracle.seen) == 16


def test_a_selection_model_knows_only_the_classes_it_was_shown() -> None:
    embeddings, targets = two_clouds(60, 2)
    model = fit_selection_model(embeddings, np.where(targets == 1, 2, 0), 3, 1.0)
    proba = model(embeddings)
    assert proba.shape == (60, 3)
    assert proba[:, 1].max() == 0
    assert proba.sum(axis=1) == pytest.approx(1)
    one_class = fit_selection_model(embeddings, np.zeros(60, np.int64), 3, 1.0)
    assert one_class(embeddings) == pytest.approx(1 / 3)


def test_unit_length_keeps_direction_and_survives_a_zero_row() -> None:
    rows = unit_length(np.array([[3, 4], [0, 0]], np.float32))
    assert rows[0] == pytest.approx([0.6, 0.8])
    assert rows[1].tolist() == [0, 0]


def test_all_strategies_start_from_the_same_labels_and_end_with_good_models() -> None:
    curves = label_efficiency(two_clouds(300, 3), two_clouds(200, 4), 2, (6, 60, 3), 1.0, 3, 7)
    assert curves.n_labels == [6, 24, 42, 60]
    starts = {name: accuracy[:, 0].tolist() for name, accuracy in curves.accuracy.items()}
    assert all(start == starts["random"] for start in starts.values())
    assert all(accuracy[:, -1].mean() > 0.85 for accuracy in curves.accuracy.values())
    again = label_efficiency(two_clouds(300, 3), two_clouds(200, 4), 2, (6, 60, 3), 1.0, 3, 7)
    assert all(np.array_equal(again.accuracy[name], curves.accuracy[name]) for name in curves.accuracy)


def test_curve_table_has_a_row_for_each_strategy_and_number_of_labels() -> None:
    curves = Curves([10, 20], {"random": np.array([[0.5, 0.6], [0.7, 0.8]]), "margin": np.array([[0.5, 0.9]] * 2)})
    table = curve_table(curves)
    assert list(table.columns) == ["strategy", "n_labels", "accuracy", "low", "high"]
    assert table["accuracy"].tolist() == pytest.approx([0.6, 0.7, 0.5, 0.9])
    assert (table["low"] <= table["accuracy"]).all()
    assert (table["accuracy"] <= table["high"]).all()


def test_interval_over_seeds_is_students() -> None:
    from scipy.stats import ttest_1samp

    values = np.array([0.61, 0.66, 0.7, 0.68])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    estimate = seed_estimate(values)
    assert [estimate.low, estimate.high] == pytest.approx([expected.low, expected.high])
    single = seed_estimate(np.array([0.6]))
    assert single.value == 0.6
    assert math.isnan(single.low)
    assert single.reason


def test_labels_to_reach_reads_the_crossing_off_the_curve() -> None:
    random = np.array([[0.50, 0.55, 0.60, 0.65, 0.70]] * 3)
    fast = np.array([[0.50, 0.65, 0.75, 0.80, 0.80]] * 3)
    slow = np.array([[0.50, 0.51, 0.52, 0.53, 0.54]] * 3)
    estimates = labels_to_reach(Curves([100, 200, 300, 400, 500], {"random": random, "fast": fast, "slow": slow}), 0)
    assert estimates["random"].value == pytest.approx(500)
    assert estimates["fast"].value == pytest.approx(250)
    assert [estimates["fast"].low, estimates["fast"].high] == pytest.approx([250, 250])
    assert math.isnan(estimates["slow"].value)
    assert "500" in estimates["slow"].reason


def test_labels_to_reach_ignores_a_lucky_bump() -> None:
    random = np.array([[0.50, 0.60, 0.65, 0.70]])
    bumpy = np.array([[0.50, 0.70, 0.60, 0.80]])  # isotonic: 0.50, 0.65, 0.65, 0.80
    estimate = labels_to_reach(Curves([100, 200, 300, 400], {"random": random, "bumpy": bumpy}), 0)["bumpy"]
    assert estimate.value == pytest.approx(300 + 100 * 0.05 / 0.15)
