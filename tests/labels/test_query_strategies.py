"""Query strategies: what holds for all of them, and what each one means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.labels import diversity_strategies
from ratchet.labels.pool import Pool, highest, margin_scores
from ratchet.labels.query_strategies import (
    ALIKE_FOR_TWO,
    QUERY_STRATEGIES,
    entropy_scores,
    least_confidence_scores,
    mutual_information,
)
from ratchet.labels.selection_model import fit_selection_model, unit_length

NAMES = sorted(QUERY_STRATEGIES)


def some_pool(n: int, n_classes: int, seed: int, labeled_rate: float = 0.3) -> Pool:
    rng = np.random.default_rng(seed)
    embeddings = unit_length(rng.normal(size=(n, 5)).astype(np.float32))
    targets = np.arange(n) % n_classes
    draw = fit_selection_model(embeddings, targets, n_classes, 1.0).draw_proba
    return Pool(embeddings, rng.random(n) < labeled_rate, rng.dirichlet(np.ones(n_classes), size=n), draw)


def binary(certainty: Any) -> np.ndarray:
    larger = np.asarray(certainty, dtype=float)
    return np.stack([larger, 1 - larger], axis=1)


def ask(name: str, pool: Pool, batch_size: int, seed: int = 0) -> list[int]:
    asked: list[int] = QUERY_STRATEGIES[name](pool, batch_size, np.random.default_rng(seed)).tolist()
    return asked


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 60),
    n_classes=st.integers(2, 4),
    batch_size=st.integers(0, 70),
    labeled_rate=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_a_query_is_a_subset_of_the_unlabelled_pool_without_repeats(
    name: str, n: int, n_classes: int, batch_size: int, labeled_rate: float, seed: int
) -> None:
    pool = some_pool(n, n_classes, seed, labeled_rate)
    before = pool.proba.copy(), pool.embeddings.copy(), pool.labeled.copy()
    asked = ask(name, pool, batch_size, seed)
    assert len(asked) == min(batch_size, int((~pool.labeled).sum()))
    assert len(set(asked)) == len(asked)
    assert not pool.labeled[asked].any()
    assert asked == ask(name, pool, batch_size, seed)
    after = pool.proba, pool.embeddings, pool.labeled
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["least_confidence", "margin", "entropy", "bald", "contrastive", "k_center"])
def test_the_order_of_the_pool_does_not_matter(name: str) -> None:
    pool, order = some_pool(50, 3, 5), np.random.default_rng(6).permutation(50)
    shuffled = Pool(pool.embeddings[order], pool.labeled[order], pool.proba[order], pool.draw_proba)
    assert order[ask(name, shuffled, 7)].tolist() == ask(name, pool, 7)


@pytest.mark.parametrize("name", NAMES)
def test_chunks_and_half_precision_on_disk_choose_as_memory_does(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = some_pool(300, 2, 8)
    stored = np.memmap(tmp_path / "pool", dtype=np.float16, mode="w+", shape=pool.embeddings.shape)
    stored[:] = pool.embeddings
    in_memory = Pool(np.asarray(stored, dtype=np.float32), pool.labeled, pool.proba, pool.draw_proba)
    expected = ask(name, in_memory, 9)
    for module in ("pool", "diversity_strategies", "query_strategies"):
        monkeypatch.setattr(f"ratchet.labels.{module}.chunks", _small_chunks)
    assert ask(name, Pool(stored, pool.labeled, pool.proba, pool.draw_proba), 9) == expected


def _small_chunks(n: int, size: int = 0) -> list[slice]:
    return [slice(start, min(start + 37, n)) for start in range(0, n, 37)]


def test_scores_are_what_their_formulas_say() -> None:
    from scipy.stats import entropy

    proba = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    assert entropy_scores(proba) == pytest.approx(entropy(proba, axis=1))
    assert entropy_scores(proba)[2] == pytest.approx(math.log(3))
    assert margin_scores(proba) == pytest.approx([0.8, 0.0, 1.0])
    assert least_confidence_scores(proba) == pytest.approx([0.5, 0.0, 2 / 3])


def test_mutual_information_is_high_only_where_models_disagree() -> None:
    agree = [[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]
    other = [[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]]
    scores = mutual_information(np.array([agree, other]))
    assert scores[:2] == pytest.approx(0, abs=1e-12)
    assert scores[2] == pytest.approx(math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1))


@pytest.mark.parametrize("name", ["entropy", "margin", "least_confidence"])
def test_uncertainty_asks_for_the_least_certain_first(name: str) -> None:
    labeled = np.array([False, False, False, True, False])
    asked = ask(name, Pool(np.zeros((5, 2), np.float32), labeled, binary([0.9, 0.55, 0.2, 0.5, 0.45])), 3)
    assert set(asked[:2]) == {1, 4}
    assert asked[2] == 2


def test_with_two_classes_some_strategies_ask_alike() -> None:
    larger = np.random.default_rng(4).permutation(np.linspace(0.5, 1, 41)[1:])
    pool = Pool(np.zeros((40, 2), np.float32), np.zeros(40, dtype=bool), binary(larger))
    for name, other in ALIKE_FOR_TWO.items():
        assert ask(name, pool, 9) == ask(other, pool, 9)


def test_entropy_and_margin_disagree_with_three_classes() -> None:
    proba = np.array([[0.45, 0.44, 0.11], [0.4, 0.3, 0.3]])
    pool = Pool(np.zeros((2, 2), np.float32), np.zeros(2, dtype=bool), proba)
    assert ask("margin", pool, 1) == [0]
    assert ask("entropy", pool, 1) == [1]


def test_ties_are_broken_at_random() -> None:
    pool = Pool(np.zeros((50, 2), np.float32), np.zeros(50, dtype=bool), np.full((50, 2), 0.5))
    assert len({row for seed in range(20) for row in ask("margin", pool, 5, seed)}) > 30


def test_highest_is_a_full_sort_cut_off() -> None:
    scores = np.random.default_rng(1).normal(size=200)
    rows = np.arange(1000, 1200)
    expected = rows[np.argsort(-scores)]
    for n in (0, 1, 17, 200, 300):
        assert highest(scores, rows, n, np.random.default_rng(0)).tolist() == expected[:n].tolist()


def test_random_is_uniform() -> None:
    pool = Pool(np.zeros((10, 2), np.float32), np.arange(10) == 3, np.full((10, 2), 0.5))
    rng = np.random.default_rng(0)
    counts = np.zeros(10)
    for _ in range(2000):
        counts[QUERY_STRATEGIES["random"](pool, 3, rng)] += 1
    assert counts[3] == 0
    assert counts[counts > 0] == pytest.approx(2000 * 3 / 9, rel=0.1)


def test_bald_asks_where_no_label_has_been_where_margin_asks_on_the_boundary() -> None:
    """Two directions: the labelled one settles the boundary, along the other the weights are still free."""
    rng = np.random.default_rng(0)
    seen = np.stack([rng.choice([-1.0, 1.0], 40), np.zeros(40)], axis=1)
    embeddings = np.concatenate([seen, [[0.0, 1.0], [0.0, 0.01]]]).astype(np.float32)
    model = fit_selection_model(embeddings[:40], (seen[:, 0] > 0).astype(np.int64), 2, 10.0)
    pool = Pool(embeddings, np.arange(42) < 40, model(embeddings), model.draw_proba)
    assert pool.proba[40:, 0] == pytest.approx(0.5, abs=0.05)
    assert ask("bald", pool, 1) == [40]


def test_a_large_pool_is_never_in_memory_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at once are a chunk, a sample or what is labelled, and still every strategy fills its batch."""
    pool = some_pool(2000, 2, 8, labeled_rate=0.02)
    for module in ("pool", "diversity_strategies", "query_strategies"):
        monkeypatch.setattr(f"ratchet.labels.{module}.chunks", _small_chunks)
    for cap in ("MOST_CANDIDATES", "MOST_CLUSTERED"):
        monkeypatch.setattr(diversity_strategies, cap, 150)
    sizes: list[int] = []
    rows = Pool.rows

    def counted(pool: Pool, indices: np.ndarray) -> np.ndarray:
        sizes.append(len(indices))
        return rows(pool, indices)

    monkeypatch.setattr(Pool, "rows", counted)
    for name in NAMES:
        asked = ask(name, pool, 9)
        assert len(set(asked)) == 9, name
        assert not pool.labeled[asked].any(), name
    assert max(sizes) <= 150 + int(pool.labeled.sum())


@pytest.mark.parametrize("name", ["k_center", "badge", "typiclust"])
def test_a_sample_of_a_large_pool_is_drawn_by_the_generator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = some_pool(400, 2, 8)
    for cap in ("MOST_CANDIDATES", "MOST_CLUSTERED"):
        monkeypatch.setattr(diversity_strategies, cap, 30)
    asked = {seed: ask(name, pool, 5, seed) for seed in range(20)}
    assert asked[0] == ask(name, pool, 5, 0)
    assert len({row for rows in asked.values() for row in rows}) > 30, "one sample holds 30"
    assert len(set(ask(name, pool, 50))) == 50, "a batch larger than the sample is filled all the same"


def test_k_center_covers_nearly_as_well_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    embeddings = unit_length(rng.normal(size=(4000, 4)).astype(np.float32))
    pool = Pool(embeddings, np.arange(4000) < 5, np.full((4000, 2), 0.5))

    def radius() -> float:
        """The mean distance of a text to the nearest labelled or chosen one."""
        centers = np.concatenate([embeddings[:5], embeddings[ask("k_center", pool, 40)]])
        return float(np.sqrt(2 - 2 * (embeddings @ centers.T).max(axis=1).clip(max=1)).mean())

    whole = radius()
    monkeypatch.setattr(diversity_strategies, "MOST_CANDIDATES", 400)
    assert radius() < 1.1 * whole


def test_k_center_asks_for_the_farthest_and_then_the_farthest_from_both() -> None:
    line = np.array([[0.0], [1.0], [2.0], [5.0], [10.0]], dtype=np.float32)
    pool = Pool(line, np.arange(5) == 0, np.full((5, 2), 0.5))
    assert ask("k_center", pool, 3) == [4, 3, 2]


def test_badge_starts_with_the_largest_gradient_and_never_asks_for_the_same_one_twice() -> None:
    """Ten texts on each of three spots: one that was visited has no distance left to be drawn by."""
    embeddings = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    pool = Pool(embeddings, np.zeros(30, dtype=bool), binary(np.repeat([0.5, 0.6, 0.7], 10)))
    for seed in range(10):
        asked = [row // 10 for row in ask("badge", pool, 3, seed)]
        assert asked[0] == 0
        assert set(asked) == {0, 1, 2}


def test_badge_distances_are_those_of_written_out_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = some_pool(40, 3, 9, labeled_rate=0)
    factors = pool.proba - np.eye(3)[pool.proba.argmax(axis=1)]
    gradients = (factors[:, :, None] * pool.embeddings[:, None, :]).reshape(40, -1)
    seen: list[tuple[list[int], np.ndarray]] = []

    def draw(distances: np.ndarray, chosen: list[int], rng: np.random.Generator) -> int:
        seen.append((list(chosen), distances.copy()))
        return int(distances.argmax())

    monkeypatch.setattr(diversity_strategies, "_draw", draw)
    ask("badge", pool, 6)
    assert len(seen) == 5
    for chosen, distances in seen:
        expected = np.square(gradients[:, None, :] - gradients[chosen]).sum(axis=2).min(axis=1)
        assert distances == pytest.approx(expected, abs=1e-5)


def test_contrastive_asks_where_the_prediction_differs_from_the_neighbours() -> None:
    """Two spots with labels of one mind each; the text that is judged otherwise than its spot comes first."""
    embeddings = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    proba = binary(np.repeat([0.9, 0.1], 20))
    proba[19], proba[39] = [0.2, 0.8], [0.15, 0.85]
    labeled = np.isin(np.arange(40) % 20, range(12))
    assert ask("contrastive", Pool(embeddings, labeled, proba), 1) == [19]


def test_typiclust_asks_for_the_middle_of_each_large_cluster_without_a_label() -> None:
    rng = np.random.default_rng(3)
    spots = np.repeat(np.eye(4) * 20, [30, 20, 25, 10], axis=0)
    embeddings = (spots + rng.normal(size=spots.shape)).astype(np.float32)
    embeddings[[0, 30, 50, 75]] = np.eye(4) * 20  # the middles
    pool = Pool(embeddings, np.isin(np.arange(85), [3]), np.full((85, 2), 0.5))
    asked = ask("typiclust", pool, 3)
    assert asked == [50, 30, 75], "the largest cluster has a label already"


def test_hybrid_spreads_over_clusters_where_margin_takes_neighbours() -> None:
    """The 31 most uncertain texts lie on one spot, nine a little less so on three others: hybrid visits all four."""
    rng = np.random.default_rng(0)
    spots = np.repeat(np.eye(5), [31, 3, 3, 3, 60], axis=0)
    embeddings = (spots * 10 + rng.normal(scale=0.01, size=spots.shape)).astype(np.float32)
    certainty = np.repeat([0.50, 0.51, 0.51, 0.51, 0.99], [31, 3, 3, 3, 60]) + rng.random(100) * 0.005
    pool, spot = Pool(embeddings, np.zeros(100, dtype=bool), binary(certainty)), spots.argmax(axis=1)
    assert set(spot[ask("margin", pool, 4, 1)].tolist()) == {0}
    assert set(spot[ask("hybrid", pool, 4, 1)].tolist()) == {0, 1, 2, 3}, "each uncertain spot once, no certain one"


@pytest.mark.parametrize("name", NAMES)
def test_texts_that_are_all_the_same_are_no_obstacle(name: str) -> None:
    pool = Pool(np.ones((30, 2), np.float32), np.arange(30) < 3, np.full((30, 2), 0.5))
    assert len(set(ask(name, pool, 4))) == 4


@pytest.mark.parametrize("name", ["margin", "entropy", "least_confidence", "k_center", "contrastive"])
def test_the_peer_asks_for_the_same_texts(name: str) -> None:
    pytest.importorskip("skactiveml", reason="pip install -c constraints.txt --group bench")
    from benchmarks.peers import PEERS

    rng = np.random.default_rng(4)
    embeddings = unit_length(rng.normal(size=(120, 6)).astype(np.float32))
    targets = (embeddings[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(np.int64)
    labeled = np.arange(120) < 30
    model = fit_selection_model(embeddings[labeled], targets[labeled], 2, 2.0)
    pool = Pool(embeddings, labeled, model(embeddings), model.draw_proba)
    asked = PEERS[name](pool, targets, 2, 2.0)(8, np.random.default_rng(0))
    assert sorted(ask(name, pool, 8)) == sorted(asked.tolist())


def test_every_peer_can_be_asked() -> None:
    pytest.importorskip("skactiveml", reason="pip install -c constraints.txt --group bench")
    from benchmarks.peers import PEERS

    rng = np.random.default_rng(4)
    targets, labeled = np.arange(120) % 2, np.arange(120) < 40
    embeddings = unit_length((rng.normal(size=(120, 6)) + targets[:, None]).astype(np.float32))
    model = fit_selection_model(embeddings[labeled], targets[labeled], 2, 2.0)
    pool = Pool(embeddings, labeled, model(embeddings), model.draw_proba)
    for name, peer in PEERS.items():
        asked = [int(row) for row in peer(pool, targets, 2, 2.0)(5, rng)]
        assert len(set(asked)) == 5, name
        assert not labeled[asked].any(), name
