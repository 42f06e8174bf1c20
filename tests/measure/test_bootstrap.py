"""Bootstrap estimates against scikit-learn, closed forms, and their promised behaviour at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ratchet.measure import bootstrap


def _weights(n: int, n_draws: int = 400, seed: int = 0) -> bootstrap.Weights:
    return bootstrap.weights(n, n_draws, np.random.default_rng(seed))


def test_weights_are_counts_with_mean_one_and_follow_the_seed() -> None:
    w = _weights(500)
    assert w.shape == (400, 500)
    assert w.dtype == np.float32
    assert np.all(w == np.round(w))
    assert w.mean() == pytest.approx(1.0, abs=0.01)
    assert w.var() == pytest.approx(1.0, abs=0.02)
    assert np.array_equal(w, _weights(500))
    assert not np.array_equal(w, _weights(500, seed=1))


def test_interval_of_a_rate_matches_its_standard_error() -> None:
    values = np.arange(2000) % 4 == 0  # rate 0.25
    estimate = bootstrap.mean_estimate(values, _weights(2000, 2000))
    error = 1.96 * math.sqrt(0.25 * 0.75 / 2000)
    assert estimate.value == 0.25
    assert estimate.n == 2000
    assert estimate.low == pytest.approx(0.25 - error, abs=0.15 * error)
    assert estimate.high == pytest.approx(0.25 + error, abs=0.15 * error)


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    w = _weights(200, 500)
    estimates = [bootstrap.mean_estimate(rng.random(200) < 0.7, w) for _ in range(300)]
    covered = np.mean([estimate.low <= 0.7 <= estimate.high for estimate in estimates])
    assert 0.91 <= covered <= 0.98


def test_a_paired_difference_is_narrower_than_an_unpaired_one() -> None:
    rng = np.random.default_rng(1)
    a = rng.random(1000) < 0.8
    b = a.copy()
    b[:30] = ~b[:30]
    w = _weights(1000)
    paired = bootstrap.difference_estimate(a, b, w)
    unpaired = bootstrap.difference_estimate(a, rng.permutation(b), w)
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert (paired.high - paired.low) < 0.5 * (unpaired.high - unpaired.low)
    same = bootstrap.difference_estimate(a, a, w)
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_macro_f1_equals_scikit_learn_under_any_weights(n_classes: int) -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(n_classes)
    y_true = rng.integers(0, n_classes, 120)
    y_pred = np.where(rng.random(120) < 0.6, y_true, rng.integers(0, n_classes, 120))
    w = _weights(120, 5)
    assert bootstrap.macro_f1_estimate(y_true, y_pred, n_classes, w).value == pytest.approx(
        f1_score(y_true, y_pred, average="macro"), abs=1e-9
    )
    expected = [f1_score(y_true, y_pred, average="macro", sample_weight=row) for row in w]
    assert bootstrap.macro_f1_draws(y_true, y_pred, n_classes, w) == pytest.approx(expected, abs=1e-6)


def test_macro_f1_leaves_out_a_class_that_never_occurs() -> None:
    from sklearn.metrics import f1_score

    y_true, y_pred = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    estimate = bootstrap.macro_f1_estimate(y_true, y_pred, 3, _weights(4))
    assert estimate.value == pytest.approx(f1_score(y_true, y_pred, average="macro"))


def test_macro_f1_difference_is_the_difference_and_pairs() -> None:
    rng = np.random.default_rng(5)
    y_true = rng.integers(0, 2, 400)
    pred_a = np.where(rng.random(400) < 0.9, y_true, 1 - y_true)
    pred_b = np.where(rng.random(400) < 0.6, y_true, 1 - y_true)
    w = _weights(400)
    difference = bootstrap.macro_f1_difference(y_true, pred_a, pred_b, 2, w)
    single = [bootstrap.macro_f1_estimate(y_true, pred, 2, w).value for pred in (pred_a, pred_b)]
    assert difference.value == pytest.approx(single[0] - single[1])
    assert 0 < difference.low < difference.value < difference.high
    assert bootstrap.macro_f1_difference(y_true, pred_a, pred_a, 2, w).high == 0.0


def test_ece_equals_the_reliability_curve_of_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(7)
    confidence = rng.uniform(0.5, 1.0, 700)
    correct = rng.random(700) < confidence**2
    rates, means = calibration_curve(correct, confidence, n_bins=15, strategy="uniform")
    sizes = np.histogram(confidence, bins=np.linspace(0, 1, 16))[0]
    expected = float(np.sum(np.abs(rates - means) * sizes[sizes > 0]) / 700)
    estimate = bootstrap.ece_estimate(correct, confidence, 15, _weights(700))
    assert estimate.value == pytest.approx(expected, abs=1e-9)
    assert estimate.low <= estimate.value <= estimate.high


def test_ece_of_certain_and_right_predictions_is_zero() -> None:
    estimate = bootstrap.ece_estimate(np.ones(50), np.ones(50), 10, _weights(50))
    assert (estimate.value, estimate.high) == (0.0, 0.0)


def test_no_rows_give_nan_with_a_reason() -> None:
    none, w = np.zeros(0), _weights(0)
    for estimate in (
        bootstrap.mean_estimate(none, w),
        bootstrap.difference_estimate(none, none, w),
        bootstrap.macro_f1_estimate(none, none, 2, w),
        bootstrap.macro_f1_difference(none, none, none, 2, w),
        bootstrap.ece_estimate(none, none, 10, w),
        bootstrap.proportion_estimate(0, 0),
    ):
        assert math.isnan(estimate.value)
        assert math.isnan(estimate.low)
        assert estimate.reason
        assert estimate.n == 0


def test_draws_without_any_row_are_left_out_of_the_interval() -> None:
    estimate = bootstrap.mean_estimate(np.array([1.0]), _weights(1))
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 1.0, 1.0)


def test_rate_of_masked_rows() -> None:
    values, mask = np.array([1, 0, 1, 1]), np.array([True, True, False, False])
    assert bootstrap.rate_draws(values, mask, np.ones((1, 4), dtype=np.float32)).tolist() == [0.5]
    nothing = bootstrap.rate_draws(values, np.zeros(4, dtype=bool), np.ones((2, 4), dtype=np.float32))
    assert np.isnan(nothing).all()


def test_wilson_interval_of_a_known_case() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 15 of 148, score interval 0.0624 to 0.1605
    estimate = bootstrap.proportion_estimate(15, 148)
    assert estimate.value == pytest.approx(15 / 148)
    assert [estimate.low, estimate.high] == pytest.approx([0.0624, 0.1605], abs=5e-5)


def test_the_interval_ends_at_the_outer_fortieths_of_the_draws() -> None:
    found = bootstrap.interval_estimate(0.5, np.arange(1001) / 1000, 30)
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


def test_certainty_is_in_the_highest_bin_with_what_is_nearly_certain() -> None:
    right, confidence = np.array([0, 1]), np.array([1.0, 0.96])
    found = bootstrap.ece_estimate(right, confidence, 10, bootstrap.unit_weights(2))
    assert found.value == pytest.approx((1 - 0.04) / 2)


def test_totals_come_for_each_part_with_its_own_number_of_cells() -> None:
    values, cells = np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0])
    parts = [(values, cells, 2), (values, np.array([2, -1, 2]), 3), (values, np.array([0, 0, 0]), 1)]
    found = bootstrap.cell_totals(parts, bootstrap.unit_weights(3))
    assert [total[:, 0].tolist() for total in found] == [[5.0, 2.0], [0.0, 0.0, 5.0], [7.0]]
