"""Always-valid tests: golden values, monotone bounds, coverage under peeking, and what missing answers do."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.experiments.betting import average_wealth, log_wealth, lower_bound, stakes, upper_bound
from ratchet.experiments.sequential_tests import (
    Outcomes,
    Pairs,
    arms_difference,
    effect_bound,
    effects,
    paired_difference,
)

SIGNS = np.array([1.0, -1.0, 0.0])


def test_wealth_is_the_product_of_each_bettors_bets() -> None:
    rng = np.random.default_rng(0)
    for null in (-0.1, 0.0, 0.3):
        seen = rng.choice(SIGNS, 60, p=[0.3, 0.2, 0.5])
        wealth = np.mean([np.prod(1 + stake * (seen - null)) for stake in stakes(1.0)])
        counts = np.array([np.sum(seen == value) for value in SIGNS], dtype=float)
        assert log_wealth(SIGNS, counts, null) == pytest.approx(np.log(wealth))
        assert log_wealth(seen, np.ones(60), null) == pytest.approx(np.log(wealth))


@pytest.mark.parametrize(("null", "expected"), [(0.0, 0.8575924786), (-0.05, 3.0930698692), (0.02, 0.3742518705)])
def test_wealth_is_that_of_an_independent_implementation(null: float, expected: float) -> None:
    """40 gains, 25 losses, 135 ties: `diversified_betting_mart` of confseq 0.0.11, with the same 16 constant bets.

    It takes values in [0, 1]: (value + 1) / 2 against (null + 1) / 2, at twice the stake.
    """
    assert log_wealth(SIGNS, np.array([40.0, 25.0, 135.0]), null) == pytest.approx(expected, abs=1e-9)


def test_a_bounds_wealth_is_just_what_refutes() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        counts = rng.integers(1, 200, 3).astype(float)
        low, high = lower_bound(SIGNS, counts, 0.05), upper_bound(SIGNS, counts, 0.05)
        mean = float(SIGNS @ counts / counts.sum())
        assert -1.0 <= low < mean < high <= 1.0
        if low > -1.0:
            assert log_wealth(SIGNS, counts, low) >= np.log(20)
            assert log_wealth(SIGNS, counts, low + 2e-5) < np.log(20)
        assert lower_bound(SIGNS, counts, 0.01) <= low
        assert lower_bound(-SIGNS, counts, 0.05) == -high


def test_no_bettor_can_be_ruined() -> None:
    for bound in (1.0, 2.0, 20.0):
        assert (1 + stakes(bound) * (-bound - 1.0)).min() > 0


def _paired_stream(rng: np.random.Generator, n: int, n_streams: int, difference: float) -> NDArray[np.int64]:
    disagree = 0.15
    drawn = rng.random((n_streams, n))
    return np.where(drawn < (disagree + difference) / 2, 1, np.where(drawn < disagree, -1, 0))


def test_the_true_difference_is_held_at_every_look() -> None:
    """300 streams of 1,000 texts, looked at after each: at most 5 % may ever lose the truth, whichever it is."""
    rng = np.random.default_rng(2)
    for difference in (0.0, 0.05):
        seen = _paired_stream(rng, 1000, 300, difference)
        lost = np.zeros(300, dtype=bool)
        for sign in (1, -1):
            gains = np.cumsum(seen == sign, axis=1), np.cumsum(seen == -sign, axis=1), np.cumsum(seen == 0, axis=1)
            null = sign * difference
            logs = sum(
                np.log1p(stakes(1.0)[:, None, None] * (value - null)) * count
                for value, count in zip(SIGNS, gains, strict=True)
            )
            lost |= (np.log(np.exp(logs).mean(axis=0)) >= np.log(40)).any(axis=1)
        assert lost.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_arms_with_drifting_rates_and_a_small_share_hold_their_level_under_peeking() -> None:
    """300 experiments without a difference, their rate rising from 0.1 to 0.4, looked at after each unit."""
    rng = np.random.default_rng(3)
    rates = np.linspace(0.1, 0.4, 1500)
    n_false = 0
    for _ in range(300):
        outcomes = Outcomes(rng.random(1500) < 0.1, (rng.random(1500) < rates).astype(float), 0.1)
        scores = effects(outcomes)
        for sign in (1, -1):
            logs = np.cumsum(np.log1p(np.outer(stakes(effect_bound(0.1)), sign * scores)), axis=1)
            n_false += bool((np.log(np.exp(logs).mean(axis=0)) >= np.log(40)).any())
    assert n_false / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_a_real_difference_is_found_and_the_interval_holds_it() -> None:
    rng = np.random.default_rng(4)
    mine = rng.random(4000) < 0.5
    values = (rng.random(4000) < np.where(mine, 0.8, 0.7)).astype(float)
    found = arms_difference(Outcomes(mine, values, 0.5), 0.05)
    assert 0.0 < found.low < 0.1 < found.high
    mirrored = arms_difference(Outcomes(~mine, values, 0.5), 0.05)
    assert (mirrored.value, mirrored.low) == pytest.approx((-found.value, -found.high))


def test_expectations_look_only_backwards_and_leave_the_difference_unbiased() -> None:
    rng = np.random.default_rng(5)
    outcomes = Outcomes(rng.random(500) < 0.3, rng.random(500), 0.3)
    changed = outcomes.values.copy()
    changed[250] = 1.0 - changed[250]
    later = effects(Outcomes(outcomes.challenger, changed, 0.3))
    assert (effects(outcomes)[:250] == later[:250]).all()
    assert np.abs(effects(outcomes)).max() <= effect_bound(0.3)
    drawn = [effects(Outcomes(rng.random(500) < 0.3, outcomes.values, 0.3)).mean() for _ in range(2000)]
    assert abs(np.mean(drawn)) < 4 * np.std(drawn) / np.sqrt(2000)


def test_unjudged_disagreements_count_against_whatever_is_claimed() -> None:
    judged, partly = Pairs(1000, 80, 20), Pairs(1000, 40, 10, n_unknown=50)
    known, open_ = paired_difference(judged, 0.05), paired_difference(partly, 0.05)
    assert known.value == open_.value == pytest.approx(0.06)
    assert open_.low == pytest.approx(paired_difference(Pairs(1000, 40, 60), 0.05).low)
    assert open_.high == pytest.approx(paired_difference(Pairs(1000, 90, 10), 0.05).high)
    assert known.low > 0 > open_.low


def test_nothing_seen_is_undefined_and_nothing_disagreed_narrows_to_zero() -> None:
    assert np.isnan(paired_difference(Pairs(0, 0, 0), 0.05).value)
    few, many = paired_difference(Pairs(100, 0, 0), 0.05), paired_difference(Pairs(10_000, 0, 0), 0.05)
    assert few.low < many.low < 0.0 < many.high < few.high < 0.2
    one_arm = Outcomes(np.zeros(10, dtype=bool), np.ones(10), 0.05)
    assert "nobody" in arms_difference(one_arm, 0.05).reason


def test_outcomes_that_are_no_rates_and_shares_of_nobody_are_refused() -> None:
    with pytest.raises(TableError, match="share"):
        Outcomes(np.ones(1, dtype=bool), np.ones(1), 1.0)
    for value in (1.1, -0.1, np.nan):
        with pytest.raises(TableError, match="rates"):
            Outcomes(np.ones(1, dtype=bool), np.array([value]), 0.5)


def test_average_wealth_does_not_overflow() -> None:
    assert average_wealth(np.array([2000.0, 2000.0])) == pytest.approx(2000.0)
