"""Which texts share a forward pass: those of the cheapest grouping."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ratchet.serving.batch_planning import batch_with_oldest, group_by_length


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 6),
    st.sampled_from([0.0, 1.0, 8.0, 40.0]),
)
def test_no_other_grouping_is_cheaper(lengths: list[int], max_size: int, pass_cost: float) -> None:
    def cost(groups: list[list[int]]) -> float:
        return sum(pass_cost + len(group) * max(lengths[index] for index in group) for group in groups)

    groups = group_by_length(lengths, max_size, pass_cost)
    assert sorted(itertools.chain(*groups)) == [*range(len(lengths))]
    assert max(map(len, groups)) <= max_size
    fitting = (found for found in _partitions([*range(len(lengths))]) if max(map(len, found)) <= max_size)
    assert cost(groups) == min(map(cost, fitting))
    assert 0 in batch_with_oldest(lengths, max_size, pass_cost)
    assert batch_with_oldest(lengths, max_size, pass_cost) in groups


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
