"""Rates by group of any number of classes: values and draws against sums over masks, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.measure.bootstrap import rate_draws, weights
from ratchet.trust.group_rates import class_rates, group_rates

N, LEAST = 600, 12
RNG = np.random.default_rng(8)
TRUE = RNG.choice([f"class {k}" for k in range(20)], N, p=np.arange(20, 0, -1) / 210)
PRED = np.where(RNG.random(N) < 0.6, TRUE, RNG.choice(np.unique(TRUE), N))
GROUPS = RNG.choice(["a", "b", "c", "rare"], N, p=[0.5, 0.3, 0.19, 0.01])
W = weights(N, 50, np.random.default_rng(1))


def test_every_class_against_the_rest_equals_means_over_masks() -> None:
    found = class_rates(TRUE, PRED, GROUPS, LEAST, W)
    assert list(found) == ["a", "b", "c", "rare"]
    n_known = 0
    for group, rates in found.items():
        for label in np.unique(TRUE):
            for kind, rows in (("true", label == TRUE), ("false", label != TRUE)):
                mask, rate = rows & (group == GROUPS), rates[f"{kind}_positive_rate_{label}"]
                assert rate.n == mask.sum()
                if rate.n < LEAST:
                    assert rate.reason == f"rests on {rate.n} texts, fewer than {LEAST}"
                    assert np.isnan(rate.value)
                    continue
                n_known += 1
                assert rate.value == pytest.approx((label == PRED)[mask].mean())
                np.testing.assert_allclose(rate.draws, rate_draws(label == PRED, mask, W), rtol=1e-6)
    assert n_known > 60


def test_measures_by_group_equal_means_over_masks_and_small_groups_have_none() -> None:
    some = RNG.random(N) < 0.7
    columns = [("accuracy", TRUE == PRED, np.ones(N, dtype=bool)), ("score", RNG.random(N), some)]
    found = group_rates(columns, GROUPS, LEAST, W)
    for group in ("a", "b", "c"):
        for measure, values, rows in columns:
            mask = rows & (group == GROUPS)
            assert found[group][measure].value == pytest.approx(np.asarray(values)[mask].mean(), rel=1e-6)
            np.testing.assert_allclose(found[group][measure].draws, rate_draws(values, mask, W), rtol=1e-5)
    assert found["rare"]["accuracy"].reason
    nothing = group_rates(columns, GROUPS, N + 1, W)
    assert all(rate.reason for rates in nothing.values() for rate in rates.values())


def test_memory_follows_the_groups_that_are_large_enough() -> None:
    """A group a row: dense masks of 20,000 groups would take gigabytes."""
    n = 20_000
    groups = np.array([f"user {row}" for row in range(n)])
    groups[: n // 2] = "everyone"
    labels = np.array(["x", "y"])[np.arange(n) % 2]
    w = weights(n, 20, np.random.default_rng(0))
    rates = group_rates([("accuracy", labels == "x", np.ones(n, dtype=bool))], groups, 30, w)
    assert rates["everyone"]["accuracy"].value == 0.5
    assert len(class_rates(labels, labels, groups, 30, w)) == 1 + n // 2
