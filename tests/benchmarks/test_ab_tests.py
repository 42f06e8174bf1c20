"""The simulation behind the published error rates and sample sizes."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks import ab_tests
from benchmarks.ab_streams import (
    NEVER,
    arms_stream,
    by_asymptotic_sequence,
    by_betting,
    by_peeking,
    paired_stream,
    stopping_times,
)
from ratchet.experiments.sequential_tests import (
    Outcomes,
    Pairs,
    arms_difference,
    effect_bound,
    effects,
    paired_difference,
)


@pytest.mark.parametrize("difference", [0.08, -0.08])
def test_a_stream_is_decided_when_the_shipped_interval_first_excludes_zero(difference: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        seen = paired_stream(3000, 0.2, difference, rng)
        first = by_betting(seen, 1.0)
        assert first < NEVER
        for n, decided in ((first, True), (first - 1, False)):
            found = paired_difference(Pairs(n, int((seen[:n] > 0).sum()), int((seen[:n] < 0).sum())), 0.05)
            assert (found.low > -2e-5 or found.high < 2e-5) is decided


def test_arms_are_decided_as_the_shipped_test_decides() -> None:
    outcomes = arms_stream(4000, 0.7, 0.15, 0.5, np.random.default_rng(1))
    first = by_betting(effects(outcomes), effect_bound(0.5))
    assert 30 < first < NEVER
    for n, decided in ((first, True), (first - 5, False)):
        part = Outcomes(outcomes.challenger[:n], outcomes.values[:n], 0.5)
        assert (arms_difference(part, 0.05).low > -2e-5) is decided


def test_peeking_at_a_fixed_level_claims_too_much_and_the_others_do_not() -> None:
    draw = partial(paired_stream, 1000, 0.3, 0.0)
    for test, bounds in (
        (partial(by_betting, bound=1.0), (0.0, 0.05)),
        (by_asymptotic_sequence, (0.0, 0.05)),
        (by_peeking, (0.25, 0.5)),
    ):
        rate = float((stopping_times(draw, test, 200, 3) < NEVER).mean())
        assert bounds[0] <= rate <= bounds[1]


def test_streams_have_the_rates_they_are_asked_for() -> None:
    rng = np.random.default_rng(2)
    seen = paired_stream(100_000, 0.15, 0.05, rng)
    assert abs(seen.mean() - 0.05) < 0.005
    assert abs((seen != 0).mean() - 0.15) < 0.005
    outcomes = arms_stream(100_000, 0.8, 0.1, 0.05, rng)
    assert abs(outcomes.values[outcomes.challenger].mean() - 0.9) < 0.02


def test_figures_are_the_fields_own() -> None:
    found = ab_tests._rate(3, 100)
    exact = binomtest(3, 100).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    # two means with p = 0.5, a difference of 0.05: 1,565 units an arm (Fleiss, without continuity correction)
    assert ab_tests._fixed_n(0.25 / 0.5 + 0.25 / 0.5, 0.05) == pytest.approx(2 * 1565, rel=0.005)
    assert ab_tests._needed(np.array([10, 20, 30, int(NEVER)]))["n_95"] is None
    assert ab_tests._needed(np.array([10, 20, 30, 40]))["n_50"] == 30


def test_the_report_becomes_tables() -> None:
    rate = {"value": 0.01, "low": 0.005, "high": 0.02, "n": 100}
    often = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}
    report = {
        "command": "python -m benchmarks.ab_tests",
        "false_claims": {"paired": {"asymptotic": rate, "betting": often, "peeked fixed level": rate}},
        "requests_needed": {"0.02": {"paired": {"n_80": 1000, "n_95": None, "fixed_80": 500}}},
        "real_predictions": {
            "a against b": {
                "difference": 0.1,
                "disagreement": 0.2,
                "paired": {"n_80": 5, "n_95": 9},
                "arms, share 50%": {"n_80": 50, "n_95": 90},
                "passes_shadow_at_margin_0.02": rate,
            }
        },
    }
    text = ab_tests.table(report)
    assert "| 0.02 | 1,000 / more (500) |" in text
    assert "| paired | 90.0 % [80.0, 95.0] | 1.0 % [0.5, 2.0] | 1.0 % [0.5, 2.0] |" in text
    assert "| a against b | +0.100 | 0.200 | 5 / 9 | 50 / 90 |" in text
