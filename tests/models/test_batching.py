"""Batches: every text once, little padding, the same order for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ratchet.models.batching import bucketed_batches, pad, sorted_batches
from ratchet.models.predictor import softmax

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 40))
def test_sorted_batches_hold_every_index_once(lengths: list[int], batch_size: int) -> None:
    batches = list(sorted_batches(lengths, batch_size))
    assert sorted(int(index) for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(0 < len(batch) <= batch_size for batch in batches)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 99))
def test_bucketed_batches_hold_every_index_once_and_are_as_many_as_announced(
    lengths: list[int], batch_size: int, seed: int
) -> None:
    batches = bucketed_batches(lengths, batch_size, np.random.default_rng(seed), n_pool=3)
    assert sorted(int(index) for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    again = bucketed_batches(lengths, batch_size, np.random.default_rng(seed), n_pool=3)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again, strict=True))


def test_bucketing_halves_the_padding_of_shuffling() -> None:
    lengths = np.random.default_rng(0).integers(3, 64, 1000)

    def padding(batches: Sequence[NDArray[np.int64]]) -> int:
        return sum(int(len(batch) * lengths[batch].max() - lengths[batch].sum()) for batch in batches)

    shuffled = np.array_split(np.random.default_rng(1).permutation(1000), 63)
    assert padding(bucketed_batches(lengths.tolist(), 16, np.random.default_rng(1))) < padding(shuffled) / 2


def test_padding_is_masked() -> None:
    ids, mask = pad([[7, 8, 9], [7]], pad_id=1)
    assert ids.tolist() == [[7, 8, 9], [7, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6))
def test_softmax_is_a_distribution_that_keeps_the_order(logits: list[float]) -> None:
    proba = softmax(np.array([logits]))[0]
    assert np.isclose(proba.sum(), 1.0)
    assert np.all(np.diff(proba[np.argsort(logits)]) >= 0)
