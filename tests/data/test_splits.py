"""Properties of splits by hash and by time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.sparse.csgraph  # noqa: F401  here, and not within the deadline of the first example
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.splits import EXCLUDED, Assignment, assign_sides, assign_sides_by_time, hashed_side

Graph = tuple[list[bool], list[tuple[int, int]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Rows, some of another domain, with any near-duplicate pairs among them."""
    n = draw(st.integers(2, 25))
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda both: both[0] < both[1])
    return draw(st.lists(st.booleans(), min_size=n, max_size=n)), draw(st.lists(pair, max_size=40, unique=True))


def _assign(graph: Graph, n: int | None = None, salt: str = "s") -> Assignment:
    domain, pairs = graph
    n = len(domain) if n is None else n
    kept = [pair for pair in pairs if pair[1] < n]
    return assign_sides([f"id{row}" for row in range(n)], domain[:n], kept, salt, 0.3, 0.3)


def same(one: Assignment, other: Assignment) -> bool:
    return (one.side, one.reason, one.group.tolist()) == (other.side, other.reason, other.group.tolist())


@given(graphs(), st.integers(0, 25), st.text(max_size=3))
def test_appending_rows_moves_nothing(graph: Graph, n: int, salt: str) -> None:
    n = min(n, len(graph[0]))
    before, after = _assign(graph, n, salt), _assign(graph, salt=salt)
    assert before.side == after.side[:n]
    joined = {(old, new) for old, new in zip(before.group.tolist(), after.group[:n].tolist(), strict=True)}
    assert len(joined) == len({*before.group.tolist()})  # groups may join, and never part


@given(graphs(), st.text(max_size=3))
def test_near_duplicates_never_straddle(graph: Graph, salt: str) -> None:
    side = _assign(graph, salt=salt).side
    assert all(side[a] == side[b] or EXCLUDED in (side[a], side[b]) for a, b in graph[1])


@given(graphs(), st.text(max_size=3))
def test_groups_are_transitive_and_lie_on_one_side(graph: Graph, salt: str) -> None:
    assigned = _assign(graph, salt=salt)
    inside = [pair for pair in graph[1] if EXCLUDED not in (assigned.side[pair[0]], assigned.side[pair[1]])]
    assert all(assigned.group[a] == assigned.group[b] for a, b in inside)
    sides: dict[int, set[str]] = {}
    for group, side in zip(assigned.group.tolist(), assigned.side, strict=True):
        sides.setdefault(group, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    reached = {row: {row} for row in range(len(graph[0]))}  # the oracle: what can be walked to over kept rows
    for _ in graph[0]:
        for a, b in inside:
            reached[a] |= reached[b]
            reached[b] |= reached[a]
    assert [min(reached[row]) for row in range(len(graph[0]))] == assigned.group.tolist()


def test_a_chain_is_one_group_though_its_ends_are_no_near_duplicates() -> None:
    ids = [f"id{row}" for row in range(80)]
    alone = assign_sides(ids, [True] * 80, [], "s", 0.3, 0.3).side
    first, last = next((a, b) for a in range(80) for b in range(a + 1, 79) if alone[a] == alone[b] == "train")
    assigned = assign_sides(ids, [True] * 80, [(first, 79), (last, 79)], "s", 0.3, 0.3)
    assert assigned.side[79] == "train"
    assert assigned.group[[first, last, 79]].tolist() == [first] * 3


def test_near_duplicates_and_names_make_one_group_together() -> None:
    ids = [f"id{row}" for row in range(6)]
    groups = ["ann", "bob", None, "bob", "ann", None]
    assigned = assign_sides(ids, [True] * 6, [(2, 4)], "s", 0.3, 0.3, groups=groups)
    parts = {tuple(np.flatnonzero(assigned.group == group).tolist()) for group in assigned.group}
    kept = {row for row in range(6) if assigned.side[row] != EXCLUDED}
    assert (1, 3) in parts
    assert {row for part in parts if 0 in part for row in part} == ({0, 2, 4} & kept if 4 in kept else {0})


@given(graphs(), st.text(max_size=3))
def test_domains_stay_apart_and_exclusions_have_reasons(graph: Graph, salt: str) -> None:
    assigned = _assign(graph, salt=salt)
    for own, side, reason in zip(graph[0], assigned.side, assigned.reason, strict=True):
        assert (side == EXCLUDED) == bool(reason)
        assert side == EXCLUDED or (side != "transfer") == own


@given(graphs())
def test_order_of_pairs_does_not_matter(graph: Graph) -> None:
    assert same(_assign(graph), _assign((graph[0], graph[1][::-1])))


def test_a_near_duplicate_follows_the_first() -> None:
    ids = [f"id{row}" for row in range(40)]
    pairs = [(0, row) for row in range(1, 40)]
    assigned = assign_sides(ids, [True] * 40, pairs, "s", 0.3, 0.3)
    assert len(set(assigned.side)) == 1
    assert set(assigned.group.tolist()) == {0}


def test_a_link_between_two_sides_is_held_out() -> None:
    sides = {hashed_side(f"id{row}", "s", 0.3, 0.3): row for row in range(50)}
    first, second = sorted([sides["train"], sides["test"]])
    assigned = assign_sides([f"id{row}" for row in range(51)], [True] * 51, [(first, 50), (second, 50)], "s", 0.3, 0.3)
    assert assigned.side[50] == EXCLUDED
    assert assigned.reason[50] == "its near-duplicates lie in test and train"


def test_realised_rates_are_near_the_targets() -> None:
    n = 20_000
    counts = Counter(hashed_side(f"id{row}", "salt", 0.1, 0.2) for row in range(n))
    for side, rate in {"train": 0.7, "validation": 0.1, "test": 0.2}.items():
        assert abs(counts[side] / n - rate) < 4 * (rate * (1 - rate) / n) ** 0.5  # four standard errors


def test_raising_the_validation_rate_leaves_the_test_alone() -> None:
    ids = [f"id{row}" for row in range(500)]
    sides = [{key for key in ids if hashed_side(key, "s", rate, 0.2) == "test"} for rate in (0.1, 0.3)]
    assert sides[0] == sides[1]


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(0, 7), st.booleans()), min_size=1, max_size=30), st.randoms())
def test_copies_go_where_all_their_pairs_would_send_them(n_texts: int, rows: list[tuple[int, bool]], rng: Any) -> None:
    """Rows with the same words, given once as `first` and once as the pairs that this stands for."""
    texts = [text % n_texts for text, _ in rows]
    first = [texts.index(text) for text in texts]
    near = {(a, b) for a in range(n_texts) for b in range(a) if rng.random() < 0.4}
    known = {text: texts.index(text) for text in texts}
    leaders = [(known[a], known[b]) for a, b in near if a in known and b in known]
    full = [
        (a, b)
        for b in range(len(rows))
        for a in range(b)
        if texts[a] == texts[b] or {(texts[a], texts[b]), (texts[b], texts[a])} & near
    ]
    ids, domain = [f"id{row}" for row in range(len(rows))], [inside for _, inside in rows]
    by_first, by_pairs = (
        assign_sides(ids, domain, leaders, "s", 0.3, 0.3, first),
        assign_sides(ids, domain, full, "s", 0.3, 0.3),
    )
    assert same(by_first, by_pairs)


def test_rows_of_one_group_lie_on_one_side() -> None:
    ids = [f"id-{row}" for row in range(300)]
    groups = [f"author-{row % 40}" if row % 3 else None for row in range(300)]
    assigned = assign_sides(ids, [True] * 300, [], "salt", 0.2, 0.2, groups=groups)
    sides: dict[str, set[str]] = {}
    for group, side in zip(groups, assigned.side, strict=True):
        if group:
            sides.setdefault(group, set()).add(side)
    assert all(len(found) == 1 for found in sides.values())
    assert len({next(iter(found)) for found in sides.values()}) == 3


def test_a_text_whose_near_duplicate_and_group_lie_apart_is_held_out() -> None:
    ids = [f"id-{row}" for row in range(60)]
    alone = assign_sides(ids, [True] * 60, [], "salt", 0.3, 0.3).side
    other = next(row for row in range(1, 59) if alone[row] != alone[0])
    groups: list[str | None] = ["author" if row in (0, 59) else None for row in range(60)]
    assigned = assign_sides(ids, [True] * 60, [(other, 59)], "salt", 0.3, 0.3, groups=groups)
    assert assigned.side[59] == "excluded"
    assert "or group lie in" in assigned.reason[59]


def _by_time(days: list[int | None], pairs: list[tuple[int, int]], **more: Any) -> Assignment:
    times = np.array(["NaT" if day is None else np.datetime64("2024-01-01") + day for day in days], "datetime64[us]")
    return assign_sides_by_time(times, more.pop("domain", [True] * len(days)), pairs, 0.2, 0.2, **more)


def test_the_newest_texts_test_and_those_before_them_validate() -> None:
    side = _by_time([9, 0, 8, 1, 7, 2, 6, 3, 5, 4], []).side
    assert [row for row, name in enumerate(side) if name == "test"] == [0, 2]
    assert [row for row, name in enumerate(side) if name == "validation"] == [4, 6]
    assert side.count("train") == 6


def test_a_group_goes_whole_where_its_newest_text_belongs() -> None:
    chain = _by_time([0, 9, 5, *range(1, 8)], [(0, 2), (1, 2)])
    assert [chain.side[row] for row in (0, 1, 2)] == ["test"] * 3
    assert chain.group[[0, 1, 2]].tolist() == [0, 0, 0]
    author = _by_time([*range(10)], [], groups=["ann" if row in (0, 9) else None for row in range(10)])
    assert (author.side[0], author.side[9]) == ("test", "test")
    twins = _by_time([0, *range(1, 9), 9], [], first=[*range(9), 0])
    assert (twins.side[0], twins.group[9]) == ("test", 0)


@given(graphs(), st.data())
def test_no_training_text_is_newer_than_what_is_measured_on(graph: Graph, data: st.DataObject) -> None:
    n = len(graph[0])
    days = data.draw(st.lists(st.none() | st.integers(0, 30), min_size=n, max_size=n))
    assigned = _by_time(days, graph[1], domain=graph[0])
    side = assigned.side
    assert all(side[a] == side[b] or EXCLUDED in (side[a], side[b]) for a, b in graph[1])
    newest: dict[int, tuple[int, str]] = {}
    for row, group in enumerate(assigned.group.tolist()):
        if side[row] in ("train", "validation", "test"):
            newest[group] = max(newest.get(group, (0, ""))[0], days[row] or 0), side[row]
    of = {name: [day for day, found in newest.values() if found == name] for name in ("train", "validation", "test")}
    for older, newer in (("train", "validation"), ("validation", "test"), ("train", "test")):
        if of[older] and of[newer]:
            assert max(of[older]) <= min(of[newer])
    for row, inside in enumerate(graph[0]):
        undated = inside and days[row] is None
        assert (side[row] == EXCLUDED) == bool(assigned.reason[row])
        assert not undated or assigned.reason[row] == "it has no time to be split by"
        assert side[row] == EXCLUDED or (side[row] != "transfer") == inside


def test_a_text_of_another_domain_near_one_that_is_split_is_held_out_by_time_too() -> None:
    assigned = _by_time([0, 1, 2, 3, 4, None], [(2, 5)], domain=[True] * 5 + [False])
    assert assigned.reason[5] == "a near-duplicate from another domain lies in train"
    assert _by_time([0, 1, 2, 3, 4, None], [], domain=[True] * 5 + [False]).side[5] == "transfer"


@pytest.mark.parametrize("days", [[], [None, None]])
def test_no_rows_or_no_times_split_nothing(days: list[int | None]) -> None:
    assert _by_time(days, []).side == [EXCLUDED] * len(days)
