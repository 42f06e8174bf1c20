"""The flag for texts from elsewhere: exact neighbours, false alarms as asked for, and what each distance can see."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.trust import domain_distance
from ratchet.trust.domain_distance import (
    distance_figures,
    mahalanobis_distances,
    nearest_distances,
    threshold_at,
    untypical,
)

SPREAD = np.array([3.0, 1.0, 1.0, 0.2, 1.0, 1.0, 2.0, 1.0])


def texts(n: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (SPREAD * rng.standard_normal((n, 8)) * scale + shift).astype(np.float32)


def test_the_nearest_text_is_that_of_scikit_learn_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.neighbors import NearestNeighbors

    monkeypatch.setattr(domain_distance, "BLOCK", 7)
    known, asked = texts(50, 1), texts(40, 2)
    expected = NearestNeighbors(n_neighbors=1, metric="cosine").fit(known).kneighbors(asked)[0][:, 0]
    np.testing.assert_allclose(nearest_distances(known, asked), expected, atol=1e-5)
    assert nearest_distances(known, asked[:0]).shape == (0,)


def test_the_mahalanobis_distance_knows_the_spread_of_each_direction() -> None:
    known = texts(5000, 1)
    along, across = np.zeros((2, 8), dtype=np.float32)
    along[0], across[3] = 3.0, 3.0
    wide, narrow = mahalanobis_distances(known, np.stack([along, across]))
    assert wide == pytest.approx(1, abs=0.1)
    assert narrow == pytest.approx(15, rel=0.15)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_the_domain_itself_is_flagged_no_more_often_than_asked_for(rate: float) -> None:
    rng = np.random.default_rng(3)
    flagged = [(rng.random(50) > threshold_at(rng.random(99), rate)).mean() for _ in range(400)]
    assert np.mean(flagged) == pytest.approx(rate, abs=0.01)


def figures(outside: np.ndarray) -> dict[str, float]:
    vectors = {"train": texts(600, 1), "validation": texts(200, 2), "test": texts(300, 3), "transfer": outside}
    found = distance_figures(vectors, 0.05, 200, 1)
    for flag in found.values():
        assert flag["false_alarm_rate"]["value"] < 0.11
        assert flag["detection_rate"]["n"] == len(outside)
    return {name: flag["detection_rate"]["value"] for name, flag in found.items()}


def test_texts_far_away_are_found_and_those_like_the_domain_are_not() -> None:
    assert figures(texts(100, 4, shift=8.0))["Mahalanobis distance"] == 1
    assert all(rate < 0.15 for rate in figures(texts(100, 5)).values())


def test_only_typicality_sees_texts_that_lie_too_near_the_middle() -> None:
    near = figures(texts(100, 6, scale=0.2))
    assert near["untypical Mahalanobis distance"] > 0.9
    assert near["Mahalanobis distance"] == 0


def test_without_another_domain_its_figures_are_undefined() -> None:
    vectors = {"train": texts(60, 1), "validation": texts(20, 2), "test": texts(30, 3), "transfer": texts(0, 4)}
    flag = distance_figures(vectors, 0.05, 100, 1)["nearest training text"]
    assert flag["detection_rate"]["reason"]
    assert flag["auroc"]["reason"]
    assert untypical(np.zeros(0), np.arange(3.0)).shape == (0,)
