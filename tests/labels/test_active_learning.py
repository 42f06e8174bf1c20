"""The learning loop, and the label-efficiency curve that is read off it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ratchet.labels.active_learning import Plan, learn, query_sizes
from ratchet.labels.label_efficiency import Curves, curve_table, label_efficiency, labels_to_reach, seed_estimate
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.selection_model import fit_selection_model, unit_length
from ratchet.labels.stopping import Stopping
from ratchet.measure.primary import primary_metric


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
        embeddings, targets.view(Oracle), 2, Plan(QUERY_STRATEGIES["margin"], [6, 5, 5], 1.0), np.random.default_rng(0)
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


ACCURACY = primary_metric("accuracy", ["no", "yes"])
CLOUDS = two_clouds(300, 3), two_clouds(200, 4)


def test_all_strategies_start_from_the_same_labels_and_end_with_good_models() -> None:
    curves = label_efficiency(*CLOUDS, ACCURACY, (6, 60, 3), sorted(QUERY_STRATEGIES), (1.0, False), 3, 7)
    assert curves.n_labels == [6, 24, 42, 60]
    starts = {name: scores[:, 0].tolist() for name, scores in curves.scores.items()}
    assert all(start == starts["random"] for start in starts.values())
    assert all(scores[:, -1].mean() > 0.85 for scores in curves.scores.values())
    again = label_efficiency(*CLOUDS, ACCURACY, (6, 60, 3), sorted(QUERY_STRATEGIES), (1.0, False), 3, 7)
    assert all(np.array_equal(again.scores[name], curves.scores[name]) for name in curves.scores)


def test_curve_table_has_a_row_for_each_strategy_and_number_of_labels() -> None:
    scores = {"random": np.array([[0.5, 0.6], [0.7, 0.8]]), "margin": np.array([[0.5, 0.9]] * 2)}
    curves = Curves([10, 20], scores, ACCURACY)
    table = curve_table(curves)
    assert list(table.columns) == ["strategy", "n_labels", "score", "low", "high"]
    assert table["score"].tolist() == pytest.approx([0.6, 0.7, 0.5, 0.9])
    assert (table["low"] <= table["score"]).all()
    assert (table["score"] <= table["high"]).all()


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
    curves = Curves([100, 200, 300, 400, 500], {"random": random, "fast": fast, "slow": slow}, ACCURACY)
    estimates = labels_to_reach(curves, 0)
    assert estimates["random"].value == pytest.approx(500)
    assert estimates["fast"].value == pytest.approx(250)
    assert [estimates["fast"].low, estimates["fast"].high] == pytest.approx([250, 250])
    assert math.isnan(estimates["slow"].value)
    assert "500" in estimates["slow"].reason


def test_labels_to_reach_ignores_a_lucky_bump() -> None:
    random = np.array([[0.50, 0.60, 0.65, 0.70]])
    bumpy = np.array([[0.50, 0.70, 0.60, 0.80]])  # isotonic: 0.50, 0.65, 0.65, 0.80
    curves = Curves([100, 200, 300, 400], {"random": random, "bumpy": bumpy}, ACCURACY)
    estimate = labels_to_reach(curves, 0)["bumpy"]
    assert estimate.value == pytest.approx(300 + 100 * 0.05 / 0.15)


def test_a_curve_of_costs_is_read_off_downwards_and_may_leave_the_unit_interval() -> None:
    costs = primary_metric("expected_cost", ["no", "yes"], cost_matrix=[[0, 2], [9, 0]])
    random, fast = np.array([[5.0, 4.5, 4.0, 3.5, 3.0]] * 3), np.array([[5.0, 3.5, 2.5, 2.0, 2.0]] * 3)
    curves = Curves([100, 200, 300, 400, 500], {"random": random, "fast": fast}, costs)
    assert labels_to_reach(curves, 0)["fast"].value == pytest.approx(250)
    assert curve_table(curves)["high"].tolist() == pytest.approx([*random[0], *fast[0]])


def test_by_macro_f1_the_curve_sees_the_rare_class_that_accuracy_overlooks() -> None:
    from sklearn.metrics import f1_score

    embeddings, targets = two_clouds(300, 5, distance=0.4)
    rare = np.flatnonzero((targets == 0) | (np.arange(300) % 16 == 1))
    pool, held_out = (embeddings[rare[::2]], targets[rare[::2]]), (embeddings[rare[1::2]], targets[rare[1::2]])
    by = {
        name: label_efficiency(
            pool, held_out, primary_metric(name, ["no", "yes"]), (20, 60, 2), ["margin"], (1.0, False), 1, 3
        ).scores["random"][0]
        for name in ("accuracy", "macro_f1")
    }
    rounds = learn(*pool, 2, Plan(QUERY_STRATEGIES["random"], [20, 20, 20], 1.0), np.random.default_rng([3, 0]))
    predicted = [model(held_out[0]).argmax(axis=1) for _, model in rounds]
    assert by["macro_f1"].tolist() == pytest.approx([f1_score(held_out[1], y, average="macro") for y in predicted])
    assert by["accuracy"].min() > 0.85
    assert by["macro_f1"].max() < 0.75


def _predictions(*n_changed: int) -> list[np.ndarray]:
    """Probabilities of 100 texts, of which so many change class from each round to the next."""
    current, found = np.arange(100) % 2, []
    for n in (0, *n_changed):
        current = np.where(np.arange(100) < n, 1 - current, current)
        found.append(np.stack([0.9 - 0.8 * current, 0.1 + 0.8 * current], axis=1))
    return found


@pytest.mark.parametrize(
    ("criterion", "patience", "n_changed", "stops_after"),
    [
        ("budget", 1, (0, 0, 0, 0), None),
        ("kappa", 2, (30, 0, 30, 0, 0), 5),
        ("kappa", 2, (30, 2, 4, 2, 2), 5),  # 4 of 100 changed: kappa 0.92
        ("stable_predictions", 2, (30, 2, 3, 2, 2), 3),  # the mean of 0.96 and 0.94 is no more than 0.95
        ("stable_predictions", 3, (0, 30, 0, 0, 0), 5),
    ],
)
def test_a_criterion_stops_when_predictions_have_settled(
    criterion: str, patience: int, n_changed: tuple[int, ...], stops_after: int | None
) -> None:
    stopping = Stopping(criterion, 0.9499 if criterion == "stable_predictions" else 0.95, patience)  # type: ignore[arg-type]
    decisions = [stopping.enough(proba) for proba in _predictions(*n_changed)]
    assert (decisions.index(True) if True in decisions else None) == stops_after


def test_a_model_of_one_class_agrees_with_nothing() -> None:
    stopping = Stopping("kappa", 0.9, 1)
    uniform = np.full((10, 2), 0.5)
    assert [stopping.enough(proba) for proba in (uniform, uniform, uniform)] == [False] * 3
    one_class = np.tile([0.9, 0.1], (10, 1))  # they agree by chance alone: kappa is undefined, and does not stop
    assert [stopping.enough(proba) for proba in (one_class, one_class, one_class)] == [False] * 3


def test_stopping_ends_the_loop_and_looks_at_no_label() -> None:
    embeddings, targets = two_clouds(400, 5, distance=4)
    sizes = [10] * 30
    plan = Plan(QUERY_STRATEGIES["margin"], sizes, 1.0, stopping=Stopping("kappa", 0.98, 3))
    n_labels = sum(len(new) for new, _ in learn(embeddings, targets, 2, plan, np.random.default_rng(0)))
    assert 40 <= n_labels < 200


def test_a_champion_chooses_before_there_is_a_model_and_weighs_in_afterwards() -> None:
    embeddings, targets = two_clouds(200, 6)
    champion = np.tile([0.99, 0.01], (200, 1))
    champion[:20] = 0.5
    margin = QUERY_STRATEGIES["margin"]
    plan = Plan(margin, [10, 10], 1.0, initial=margin, champion=champion, champion_weight=1.0)
    asked = np.concatenate([new for new, _ in learn(embeddings, targets, 2, plan, np.random.default_rng(0))])
    assert sorted(asked.tolist()) == list(range(20))
    ignored = Plan(margin, [10, 10], 1.0, champion=champion, champion_weight=0.0)
    alone = Plan(margin, [10, 10], 1.0)
    one, other = (
        [new.tolist() for new, _ in learn(embeddings, targets, 2, each, np.random.default_rng(0))]
        for each in (ignored, alone)
    )
    assert one == other


def test_balanced_models_see_the_rare_class() -> None:
    embeddings, targets = two_clouds(1000, 8, distance=0.5)
    rows = np.flatnonzero((targets == 0) | (np.arange(1000) < 100))  # 50 of 550 are positive
    plain, weighed = (
        fit_selection_model(embeddings[rows], targets[rows], 2, 1.0, balanced) for balanced in (False, True)
    )
    positive = targets == 1
    assert (weighed(embeddings)[positive].argmax(axis=1) == 1).mean() > 0.6
    assert (plain(embeddings)[positive].argmax(axis=1) == 1).mean() < 0.3
