"""Properties of splits by hash."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.splits import EXCLUDED, Assignment, assign_sides, hashed_side

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


@given(graphs(), st.integers(0, 25), st.text(max_size=3))
def test_appending_rows_moves_nothing(graph: Graph, n: int, salt: str) -> None:
    n = min(n, len(graph[0]))
    before, after = _assign(graph, n, salt), _assign(graph, salt=salt)
    assert (before.side, before.group) == (after.side[:n], after.group[:n])


@given(graphs(), st.text(max_size=3))
def test_near_duplicates_never_straddle(graph: Graph, salt: str) -> None:
    side = _assign(graph, salt=salt).side
    assert all(side[a] == side[b] or EXCLUDED in (side[a], side[b]) for a, b in graph[1])


@given(graphs(), st.text(max_size=3))
def test_domains_stay_apart_and_exclusions_have_reasons(graph: Graph, salt: str) -> None:
    assigned = _assign(graph, salt=salt)
    for own, side, reason in zip(graph[0], assigned.side, assigned.reason, strict=True):
        assert (side == EXCLUDED) == bool(reason)
        assert side == EXCLUDED or (side != "transfer") == own


@given(graphs())
def test_order_of_pairs_does_not_matter(graph: Graph) -> None:
    assert _assign(graph) == _assign((graph[0], graph[1][::-1]))


def test_a_near_duplicate_follows_the_first() -> None:
    ids = [f"id{row}" for row in range(40)]
    pairs = [(0, row) for row in range(1, 40)]
    assigned = assign_sides(ids, [True] * 40, pairs, "s", 0.3, 0.3)
    assert len(set(assigned.side)) == 1
    assert set(assigned.group) == {"id0"}


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
    assert assign_sides(ids, domain, leaders, "s", 0.3, 0.3, first) == assign_sides(ids, domain, full, "s", 0.3, 0.3)


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
