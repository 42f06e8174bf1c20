"""Query strategies: what holds for all of them, and what each one means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.labels.query_strategies import (
    ALIKE_FOR_TWO,
    QUERY_STRATEGIES,
    entropy_scores,
    least_confidence_scores,
    margin_scores,
)

NAMES = sorted(QUERY_STRATEGIES)


def pool(n: int, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_classes), size=n), rng.normal(size=(n, 5)).astype(np.float32), rng


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 60), n_classes=st.integers(2, 4), batch_size=st.integers(1, 70), labeled_rate=st.floats(0, 1),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_a_query_is_a_subset_of_the_unlabelled_pool_without_repeats(
    name: str, n: int, n_classes: int, batch_size: int, labeled_rate: float, seed: int
) -> None:
    proba, embeddings, rng = pool(n, n_classes, seed)
    labeled = rng.random(n) < labeled_rate
    before = proba.copy(), embeddings.copy(), labeled.copy()
    asked = QUERY_STRATEGIES[name](proba, embeddings, labeled, batch_size, np.random.default_rng(seed))
    again = QUERY_STRATEGIES[name](proba, embeddings, labeled, batch_size, np.random.default_rng(seed))
    assert len(asked) == min(batch_size, int((~labeled).sum()))
    assert len(set(asked.tolist())) == len(asked)
    assert not labeled[asked].any()
    assert asked.tolist() == again.tolist()
    assert all(np.array_equal(one, other) for one, other in zip(before, (proba, embeddings, labeled), strict=True))


def test_scores_are_what_their_formulas_say() -> None:
    proba = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    from scipy.stats import entropy

    assert entropy_scores(proba) == pytest.approx(entropy(proba, axis=1))
    assert entropy_scores(proba)[2] == pytest.approx(math.log(3))
    assert margin_scores(proba) == pytest.approx([0.8, 0.0, 1.0])
    assert least_confidence_scores(proba) == pytest.approx([0.5, 0.0, 2 / 3])


@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_uncertainty_asks_for_the_least_certain_first(name: str) -> None:
    proba = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.5, 0.5], [0.45, 0.55]])
    labeled = np.array([False, False, False, True, False])
    asked = QUERY_STRATEGIES[name](proba, np.zeros((5, 2), np.float32), labeled, 3, np.random.default_rng(0))
    assert set(asked[:2].tolist()) == {1, 4}
    assert asked[2] == 2


def test_with_two_classes_some_strategies_ask_alike() -> None:
    larger = np.random.default_rng(4).permutation(np.linspace(0.5, 1, 41)[1:])
    proba = np.stack([larger, 1 - larger], axis=1)
    nothing = np.zeros((40, 2), np.float32), np.zeros(40, dtype=bool), 9
    for name, other in ALIKE_FOR_TWO.items():
        asked = (QUERY_STRATEGIES[each](proba, *nothing, np.random.default_rng(0)).tolist() for each in (name, other))
        assert len(set(map(tuple, asked))) == 1


def test_entropy_and_margin_disagree_with_three_classes() -> None:
    proba = np.array([[0.45, 0.44, 0.11], [0.4, 0.3, 0.3]])
    nothing = np.zeros(2, dtype=bool), 1
    assert QUERY_STRATEGIES["margin"](proba, np.zeros((2, 2), np.float32), *nothing, np.random.default_rng(0)) == [0]
    assert QUERY_STRATEGIES["entropy"](proba, np.zeros((2, 2), np.float32), *nothing, np.random.default_rng(0)) == [1]


def test_ties_are_broken_at_random() -> None:
    proba, embeddings = np.full((50, 2), 0.5), np.zeros((50, 2), np.float32)
    labeled = np.zeros(50, dtype=bool)
    asked = [QUERY_STRATEGIES["margin"](proba, embeddings, labeled, 5, np.random.default_rng(s)) for s in range(20)]
    assert len(set(np.concatenate(asked).tolist())) > 30


def test_random_is_uniform() -> None:
    proba, embeddings = np.full((10, 2), 0.5), np.zeros((10, 2), np.float32)
    labeled = np.arange(10) == 3
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        counts[QUERY_STRATEGIES["random"](proba, embeddings, labeled, 3, rng)] += 1
    assert counts[3] == 0
    assert counts[counts > 0] == pytest.approx(2000 * 3 / 9, rel=0.1)


def test_hybrid_spreads_over_clusters_where_margin_takes_neighbours() -> None:
    """The 31 most uncertain texts lie on one spot, nine a little less so on three others: hybrid visits all four."""
    rng = np.random.default_rng(0)
    spots = np.repeat(np.eye(5), [31, 3, 3, 3, 60], axis=0)
    embeddings = (spots * 10 + rng.normal(scale=0.01, size=spots.shape)).astype(np.float32)
    certainty = np.repeat([0.50, 0.51, 0.51, 0.51, 0.99], [31, 3, 3, 3, 60]) + rng.random(100) * 0.005
    proba = np.stack([certainty, 1 - certainty], axis=1)
    spot = spots.argmax(axis=1)
    labeled = np.zeros(100, dtype=bool)
    margin, hybrid = (
        QUERY_STRATEGIES[name](proba, embeddings, labeled, 4, np.random.default_rng(1)) for name in ("margin", "hybrid")
    )
    assert set(spot[margin].tolist()) == {0}
    assert set(spot[hybrid].tolist()) == {0, 1, 2, 3}, "each uncertain spot once, and the certain one not at all"


def test_hybrid_copes_with_texts_that_are_all_the_same() -> None:
    proba, embeddings = np.full((30, 2), 0.5), np.ones((30, 2), np.float32)
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning):
        asked = QUERY_STRATEGIES["hybrid"](proba, embeddings, np.zeros(30, bool), 4, np.random.default_rng(0))
    assert len(set(asked.tolist())) == 4
