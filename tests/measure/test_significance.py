"""Paired tests and bounds against independent computations, and their coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm

from ratchet.measure.significance import Discordant, discordant, mcnemar_p, paired_difference


def test_counts_are_of_texts_that_one_model_alone_has_right() -> None:
    one, other = np.array([1, 1, 0, 0, 1], dtype=bool), np.array([1, 0, 1, 1, 1], dtype=bool)
    assert discordant(one, other) == Discordant(5, 1, 2)
    assert discordant(other, one) == Discordant(5, 2, 1)


def test_mid_p_is_the_exact_p_less_half_of_what_was_seen() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        b, c = (int(value) for value in rng.integers(0, 40, 2))
        if b == c:
            assert mcnemar_p(Discordant(100, b, c)) == 1.0
            continue
        exact = binomtest(min(b, c), b + c, 0.5).pvalue
        assert mcnemar_p(Discordant(100, b, c)) == pytest.approx(exact - binom.pmf(min(b, c), b + c, 0.5))
    assert mcnemar_p(Discordant(100, 0, 0)) == 1.0


def restricted_score(counts: Discordant, difference: float) -> float:
    """Tango's statistic with the restricted likelihood maximised numerically."""
    n, b, c = counts.n, counts.n_gained, counts.n_lost

    def loss(lost: float) -> float:
        gained, same = lost + difference, 1 - 2 * lost - difference
        parts = [(b, gained), (c, lost), (n - b - c, same)]
        return -float(sum(k * np.log(max(p, 1e-300)) for k, p in parts if k))

    bounds = (max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12)
    lost = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)
    return float((b - c - n * difference) / np.sqrt(n * (2 * lost + difference - difference**2)))


@pytest.mark.parametrize(("n", "b", "c"), [(100, 12, 5), (500, 3, 20), (1700, 60, 80), (60, 1, 9)])
def test_the_interval_ends_where_the_score_test_rejects(n: int, b: int, c: int) -> None:
    counts = Discordant(n, b, c)
    found = paired_difference(counts)
    assert found.value == pytest.approx((b - c) / n)
    assert restricted_score(counts, found.low) == pytest.approx(norm.ppf(0.975), abs=1e-3)
    assert restricted_score(counts, found.high) == pytest.approx(-norm.ppf(0.975), abs=1e-3)


def test_the_interval_is_symmetric_and_has_a_width_without_discordance() -> None:
    one, other = paired_difference(Discordant(200, 4, 11)), paired_difference(Discordant(200, 11, 4))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    none = paired_difference(Discordant(200, 0, 0))
    assert none.low < 0 < none.high
    assert np.isnan(paired_difference(Discordant(0, 0, 0)).value)


def test_a_loss_as_large_as_the_margin_passes_as_non_inferior_at_its_level() -> None:
    rng = np.random.default_rng(1)
    margin, n = 0.03, 600
    draws = rng.multinomial(n, [0.04, 0.04 + margin, 1 - 0.08 - margin], size=1500)
    passed = np.mean([paired_difference(Discordant(n, int(b), int(c))).low > -margin for b, c, _ in draws])
    assert 0.01 < passed < 0.04  # 2.5 % of the time


def test_a_half_and_a_whole_lost_are_bounded() -> None:
    for counts in (Discordant(10, 0, 10), Discordant(10, 10, 0), Discordant(1, 0, 1)):
        found = paired_difference(counts)
        assert -1 <= found.low <= found.value <= found.high <= 1
