"""Weak slices: a planted one is found, noise is not called weak, and the search agrees with SliceLine's."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.trust.weak_slices import Weakness, conjunctions, distinct, distinctive_words, weak_slices

NAMES = [f"word={letter}" for letter in "abcdefghij"]


def atoms(n: int, seed: int, n_atoms: int = 10) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.random(n) < rate for name, rate in zip(NAMES[:n_atoms], rng.uniform(0.1, 0.5, 10), strict=False)}


def test_a_planted_weak_slice_is_found_and_named_first() -> None:
    masks = atoms(800, 0)
    slices = conjunctions(masks, 25, 0.6)
    planted = masks["word=a"] & masks["word=b"]
    rng = np.random.default_rng(1)
    wrong = rng.random(800) < np.where(planted, 0.7, 0.2)
    found = weak_slices(slices, wrong, 0.05, 500, rng)
    assert found[0].predicates == ("word=a", "word=b")
    assert found[0].p_value <= 1 / 501 + 1e-12
    assert (found[0].n, found[0].n_errors) == (planted.sum(), (planted & wrong).sum())
    assert found[0].error_rate == pytest.approx(wrong[planted].mean())
    assert [item.p_value for item in found] == sorted(item.p_value for item in found)
    assert weak_slices(slices, wrong, 0.05, 500, np.random.default_rng(2))[0].predicates == found[0].predicates


def test_noise_is_called_weak_no_more_often_than_said() -> None:
    """300 data sets in which errors fall at random, 10 atoms and their pairs: any slice named is a false alarm."""
    alarms, smallest = 0, []
    for seed in range(300):
        slices = conjunctions(atoms(150, seed), 10, 0.6)
        wrong = np.random.default_rng([seed, 1]).random(150) < 0.25
        found = weak_slices(slices, wrong, 1.0, 199, np.random.default_rng([seed, 2]))
        smallest.append(found[0].p_value)
        alarms += found[0].p_value <= 0.05
    # binomial, 300 trials at 0.05: 99.9 % of counts lie below 29; without the correction about 200 do not
    assert alarms <= 28
    assert 0.4 < np.mean(smallest) < 0.6, "p-values of the largest excess are uniform under chance"


def test_without_correction_noise_would_be_called_weak() -> None:
    """The same data, each slice judged alone: the correction is what keeps the alarms down."""
    alarms = 0
    for seed in range(20):
        slices = conjunctions(atoms(150, seed), 10, 0.6)
        wrong = np.random.default_rng([seed, 1]).random(150) < 0.25
        rng = np.random.default_rng([seed, 2])
        alarms += any(weak_slices({name: mask}, wrong, 0.05, 199, rng) for name, mask in slices.items())
    assert alarms >= 8, "one in twenty is what was asked"


def test_no_errors_all_errors_and_no_slices_name_nothing() -> None:
    slices = conjunctions(atoms(100, 0), 5, 1.0)
    for wrong in (np.zeros(100, dtype=bool), np.ones(100, dtype=bool)):
        assert weak_slices(slices, wrong, 1.0, 100, np.random.default_rng(0)) == []
    assert weak_slices({}, np.array([True, False]), 1.0, 100, np.random.default_rng(0)) == []


def test_conjunctions_are_all_that_are_large_enough_and_none_twice() -> None:
    masks = atoms(200, 3) | {"length=short": np.arange(200) < 80, "length=long": np.arange(200) >= 80}
    masks["word=twin"] = masks["word=a"].copy()
    feature = {name: name.partition("=")[0] for name in ("length=short", "length=long")}
    slices = conjunctions(masks, 20, 0.5, feature)
    assert ("length=long", "length=short") not in slices
    seen = {mask.tobytes() for mask in slices.values()}
    assert len(seen) == len(slices)
    for predicates, mask in slices.items():
        assert 20 <= mask.sum() <= 100
        np.testing.assert_array_equal(mask, np.logical_and.reduce([masks[name] for name in predicates]))
    for first in NAMES:
        for second in NAMES:
            both = masks[first] & masks[second]
            assert not 20 <= both.sum() <= 100 or both.tobytes() in seen


@pytest.mark.filterwarnings("ignore")  # sliceline's own, on newer scikit-learn
def test_the_search_space_holds_what_sliceline_finds() -> None:
    """Under SliceLine's own score, the best of our conjunctions is the one that the library finds."""
    from sliceline.slicefinder import Slicefinder

    masks = atoms(600, 5, 6)
    planted = masks["word=b"] & masks["word=c"]
    wrong = np.random.default_rng(6).random(600) < np.where(planted, 0.6, 0.2)
    finder = Slicefinder(alpha=0.95, k=1, max_l=2, min_sup=20, verbose=False)
    columns = np.stack(list(masks.values()), axis=1).astype(int)
    finder.fit(columns, wrong.astype(float))
    names = list(masks)
    theirs = {(names[at], int(value)) for at, value in enumerate(finder.top_slices_[0]) if value is not None}
    both = {f"{name}|1": mask for name, mask in masks.items()} | {f"{name}|0": ~mask for name, mask in masks.items()}
    slices = conjunctions(both, 20, 1.0, {name: name.partition("|")[0] for name in both})

    def score(mask: np.ndarray) -> float:
        return float(0.95 * (wrong[mask].mean() / wrong.mean() - 1) - 0.05 * (len(mask) / mask.sum() - 1))

    ours = max(slices, key=lambda predicates: score(slices[predicates]))
    assert {(name.partition("|")[0], int(name[-1])) for name in ours} == theirs


def test_slices_that_repeat_a_stronger_one_are_left_out() -> None:
    rows = np.arange(100)
    masks: dict[tuple[str, ...], np.ndarray] = {("a",): rows < 40, ("b",): rows < 36, ("c",): rows >= 70}
    found = [Weakness(name, 1, 1, 1.0, 0.01) for name in masks]
    assert [item.predicates for item in distinct(found, masks, 0.5)] == [("a",), ("c",)]
    assert len(distinct(found, masks, 0.95)) == 3


def test_distinctive_words_are_those_raised_in_the_slice() -> None:
    bags = [frozenset({"the", "but"}), frozenset({"the", "but", "odd"}), *[frozenset({"the", "fine"})] * 8]
    words = distinctive_words(bags, np.arange(10) < 2, 5)
    assert words[0] == "but"
    assert "fine" not in words
    assert distinctive_words(bags, np.arange(10) < 2, 0) == []
