"""What people are asked: the strategy's choice, never a labelled text, with the suggestion and a true reason."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.labels.pool import Pool
from ratchet.labels.query_strategies import QUERY_STRATEGIES, WITHOUT_MODEL
from ratchet.labels.selection import choose, committee, compared_with_labeled
from ratchet.labels.selection_model import unit_length
from tests.support.tiny import reviews

LABELS = ["negative", "positive"]


def pool(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    high = rng.random((120, 1))
    return np.hstack([high, 1 - high]), rng.normal(size=(120, 8)).astype(np.float32), rng.random(120) < 0.3


@pytest.mark.parametrize("strategy", sorted(QUERY_STRATEGIES))
def test_it_asks_what_the_strategy_asks(strategy: str) -> None:
    proba, embeddings, labeled = pool(1)
    frame = reviews(120, 1)
    items = choose(frame, proba, embeddings, labeled, LABELS, "m@1", strategy, 10, np.random.default_rng(5))
    rows = QUERY_STRATEGIES[strategy](Pool(unit_length(embeddings), labeled, proba), 10, np.random.default_rng(5))
    assert [item.id for item in items] == frame["id"].iloc[rows].tolist()
    assert not set(frame["id"][labeled]) & {item.id for item in items}
    for item, row in zip(items, rows, strict=True):
        assert item.suggested == LABELS[int(proba[row].argmax())]
        assert item.confidence == proba[row].max()
        assert item.reason.startswith(f"margin {abs(proba[row, 0] - proba[row, 1]):.2f}, ")
        assert (item.bundle, item.query_strategy, item.source) == ("m@1", strategy, "made")


def test_margin_asks_the_most_uncertain_texts() -> None:
    proba, embeddings, labeled = pool(2)
    items = choose(reviews(120, 1), proba, embeddings, labeled, LABELS, "m@1", "margin", 5, np.random.default_rng(0))
    expected = np.sort(np.abs(proba[~labeled, 0] - 0.5))[:5]
    assert np.allclose([item.confidence - 0.5 for item in items], expected)


def test_unlike_is_what_lies_farther_than_labelled_texts_lie_from_each_other() -> None:
    rng = np.random.default_rng(3)
    cluster = unit_length(rng.normal([5, 0, 0], 0.1, (50, 3)).astype(np.float32))
    near, far = compared_with_labeled(np.array([cluster[0], [0, 1, 0]], np.float32), cluster)
    assert near == "near what is labelled (1.00)"
    assert far.startswith("unlike what is labelled (nearest ")


@pytest.mark.parametrize("seed", range(3))
def test_the_comparison_with_itself_leaves_each_text_out(seed: int) -> None:
    """One by one: a labelled text's nearest other one."""
    rng = np.random.default_rng(seed)
    labeled = unit_length(rng.normal(size=(1500, 4)).astype(np.float32))  # more than a chunk
    chosen = unit_length(rng.normal(size=(20, 4)).astype(np.float32))
    similarity = labeled @ labeled.T
    np.fill_diagonal(similarity, -1)
    usual = np.percentile(similarity.max(axis=1), 10)
    unlike = [note.startswith("unlike") for note in compared_with_labeled(chosen, labeled)]
    assert unlike == list((chosen @ labeled.T).max(axis=1) < usual)


def test_with_hardly_any_label_nothing_is_compared() -> None:
    assert compared_with_labeled(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)) == [
        "hardly anything is labelled yet"
    ]


@pytest.mark.parametrize("strategy", sorted(QUERY_STRATEGIES))
def test_the_score_is_that_of_the_strategy_and_none_where_it_has_none(strategy: str) -> None:
    proba, embeddings, labeled = pool(4)
    targets = np.arange(int(labeled.sum())) % 2
    draw = committee(embeddings[labeled], targets.astype(np.int64), 2, 1.0, balanced=False)
    rng = np.random.default_rng(0)
    items = choose(reviews(120, 1), proba, embeddings, labeled, LABELS, "m@1", strategy, 10, rng, draw)
    scores = np.array([item.query_score for item in items])
    if strategy in ("random", "k_center", "badge", "contrastive", "typiclust"):
        assert np.isnan(scores).all()
    else:
        assert (scores >= 0).all()
        assert strategy == "hybrid" or (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("strategy", WITHOUT_MODEL)
def test_without_a_model_nothing_is_suggested_and_the_strategy_chooses_as_with_one(strategy: str) -> None:
    proba, embeddings, labeled = pool(5)
    draw = committee(embeddings[labeled], (np.arange(int(labeled.sum())) % 2).astype(np.int64), 2, 1.0, balanced=False)
    rest = (embeddings, labeled, LABELS, "", strategy, 6)
    items, asked = (choose(reviews(120, 1), given, *rest, np.random.default_rng(0), draw) for given in (None, proba))
    assert [item.id for item in items] == [item.id for item in asked]
    assert {(item.suggested, item.bundle) for item in items} == {("", "")}
    assert all(item.reason and item.confidence != item.confidence for item in items)
