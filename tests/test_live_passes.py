"""Which texts share a forward pass: the cheapest grouping, and the same answers whatever the grouping."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.live.passes import group_by_length, score_texts
from ratchet.models.predictor import load
from tests.bundles import torch_bundle
from tests.linear_words import LinearWords
from tests.tiny import reviews


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 6),
    st.sampled_from([0.0, 1.0, 8.0, 40.0]),
)  # fmt: skip
def test_no_other_grouping_is_cheaper(lengths: list[int], max_size: int, pass_cost: float) -> None:
    def cost(groups: list[list[int]]) -> float:
        return sum(pass_cost + len(group) * max(lengths[index] for index in group) for group in groups)

    groups = group_by_length(lengths, max_size, pass_cost)
    assert sorted(itertools.chain(*groups)) == [*range(len(lengths))]
    assert max(map(len, groups)) <= max_size
    fitting = (found for found in _partitions([*range(len(lengths))]) if max(map(len, found)) <= max_size)
    assert cost(groups) == min(map(cost, fitting))


def _partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """All ways to divide the items into groups."""
    if not items:
        yield []
        return
    first, *rest = items
    for found in _partitions(rest):
        yield [[first], *found]
        for at, group in enumerate(found):
            yield [*found[:at], [first, *group], *found[at + 1 :]]


@pytest.mark.slow
def test_each_text_gets_the_answer_that_it_gets_alone(tmp_path: Path) -> None:
    predictor = load(torch_bundle(tmp_path), 1)
    texts = [*reviews(9, 5)["text"], "dull", "superb " * 100]
    alone = np.concatenate([predictor.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(score_texts(predictor, texts, 4), alone, atol=1e-6)


def test_a_model_without_tokens_is_asked_once() -> None:
    texts = ["superb", "dull and long", "film"]
    np.testing.assert_array_equal(score_texts(LinearWords(), texts, 2), LinearWords().predict_proba(texts))
