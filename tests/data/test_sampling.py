"""Samples by hash: stratified, independent of order, and with rare classes whole."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.sampling import FLOOR, sample_by_class, smallest_hashes, unit_hash


def test_hash_is_that_of_salt_and_key() -> None:
    # printf 'salt\nid' | sha256sum starts with the digits below
    assert unit_hash("id", "salt") == int("7da133a3ef31c", 16) / 16**13


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 80), st.randoms())
def test_sample_is_stratified_and_independent_of_order(strata: list[str], n: int, rng: object) -> None:
    ids = [f"id{row}" for row in range(len(strata))]
    chosen = smallest_hashes(ids, strata, "s", n)
    assert len(chosen) == len(set(chosen)) == min(n, len(ids))
    for stratum, size in Counter(strata).items():
        share = min(1.0, n / len(ids)) * size
        assert abs(sum(strata[row] == stratum for row in chosen) - share) < 1
    order = list(range(len(ids)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = smallest_hashes([ids[row] for row in order], [strata[row] for row in order], "s", n)
    assert {order[row] for row in shuffled} == set(chosen)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_sample_of_few(n: int) -> None:
    assert len(smallest_hashes(["a", "b"], ["x", "y"], "s", n)) == min(n, 2)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(0, 150), st.integers(0, 20))
def test_every_stratum_gives_the_least_it_must_and_the_sample_is_full(sizes: list[int], n: int, floor: int) -> None:
    strata = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    chosen = Counter(
        strata[row] for row in smallest_hashes([str(i) for i in range(len(strata))], strata, "s", n, floor)
    )
    assert sum(chosen.values()) == min(n, len(strata))
    if n >= sum(min(size, floor) for size in sizes):
        assert all(chosen[str(number)] >= min(size, floor) for number, size in enumerate(sizes))


def labelled(sizes: dict[str, int]) -> pd.DataFrame:
    labels = [label for label, n in sizes.items() for _ in range(n)]
    return pd.DataFrame({"id": [f"{label}{row}" for row, label in enumerate(labels)], "label": labels})


def test_a_sample_by_class_keeps_rare_classes_whole_and_the_table_s_order() -> None:
    frame = labelled({"common": 3000, "rare": 20, "middling": 400})
    sample = sample_by_class(frame, 500)
    counts = sample["label"].value_counts().to_dict()
    assert len(sample) == 500
    assert counts["rare"] == 20
    assert counts["middling"] >= FLOOR
    assert sample["id"].tolist() == [key for key in frame["id"] if key in {*sample["id"]}]


def test_a_table_that_is_small_enough_is_the_sample() -> None:
    frame = labelled({"a": 3, "b": 4})
    pd.testing.assert_frame_equal(sample_by_class(frame, 7), frame)


def test_of_many_classes_each_gives_as_many_as_there_is_room_for() -> None:
    counts = Counter(sample_by_class(labelled({str(number): 50 for number in range(77)}), 154)["label"])
    assert len(counts) == 77
    assert set(counts.values()) == {2}


def test_a_larger_sample_holds_the_smaller_one_of_each_class_and_new_rows_move_little() -> None:
    frame = labelled({"a": 400, "b": 100})
    small, large = ({*sample_by_class(frame, n)["id"]} for n in (200, 300))
    assert small < large
    grown = pd.concat([frame, labelled({"a": 25}).assign(id=lambda new: "new" + new["id"])], ignore_index=True)
    assert len({*sample_by_class(grown, 200)["id"]} & small) > 180
