"""Classes too rare for the hash to give them rows on every side."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ratchet.data.rare_classes import FILLED, MIN_GROUPS, fill_sides, lacking
from ratchet.data.splits import hashed_side


@dataclass
class Corpus:
    """Rows with a class each, in groups; sides by hash of the group."""

    label: list[str | None]
    group: list[int]

    def __post_init__(self) -> None:
        self.ids = [f"id{row}" for row in range(len(self.label))]
        self.hashed = [hashed_side(self.ids[group], "s", 0.1, 0.2) for group in self.group]

    def moved(self) -> dict[int, str]:
        return fill_sides(self.ids, self.hashed, np.array(self.group), self.label, "s")

    def sides(self) -> list[str]:
        moved = self.moved()
        return [moved.get(group, side) for group, side in zip(self.group, self.hashed, strict=True)]

    def counts(self) -> dict[str, Counter[str]]:
        """Class → side → groups."""
        triples = {*zip(self.label, self.sides(), self.group, strict=True)}
        names = {name for name in self.label if name}
        return {name: Counter(side for label, side, _ in triples if label == name) for name in names}


def alone(sizes: dict[str, int]) -> Corpus:
    labels: list[str | None] = [name for name, n in sizes.items() for _ in range(n)]
    order = np.random.default_rng(0).permutation(len(labels))
    return Corpus([labels[row] for row in order], list(range(len(labels))))


def test_every_class_with_enough_groups_has_rows_on_every_side() -> None:
    sizes = {f"rare {number}": MIN_GROUPS + number for number in range(6)} | {"common": 2000}
    counts = alone(sizes).counts()
    assert all(counts[name][side] for name in sizes for side in FILLED)
    assert sum(counts["rare 0"].values()) == MIN_GROUPS
    assert lacking(counts) == {}


def test_classes_that_the_hash_has_served_are_left_alone() -> None:
    corpus = alone({"a": 500, "b": 400})
    assert corpus.moved() == {}


def test_a_class_with_too_few_groups_is_left_alone_and_named_with_how_many_it_needs() -> None:
    corpus = Corpus([*["few"] * 4, *["twins"] * 9, *["common"] * 300], [*range(4), *[4] * 9, *range(13, 313)])
    assert not any(corpus.label[row] in ("few", "twins") for row in corpus.moved())
    poor = lacking(corpus.counts())
    assert poor["few"] == "4 groups of texts, 1 more are needed"
    assert poor["twins"] == "1 group of texts, 4 more are needed"
    assert "common" not in poor


def test_a_group_moves_whole_and_takes_from_no_other_class() -> None:
    """One author wrote the only training text of `b`, and texts of the rare class `a`."""
    label = ["a", "b", *["a"] * 6, *["c"] * 400, *["b"] * 40]
    corpus = Corpus(label, [0, 0, *range(2, len(label))])  # type: ignore[arg-type]
    corpus.hashed = ["train"] * 8 + corpus.hashed[8:408] + ["test"] * 30 + ["validation"] * 10
    moved = corpus.moved()
    assert 0 not in moved
    assert {moved[row] for row in moved if label[row] == "a"} == {"test", "validation"}


def test_what_was_moved_stays_or_goes_back_when_rows_are_added() -> None:
    """No text that was trained on is measured on later, of the classes that had their groups before."""
    n_moved = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        label: list[str | None] = rng.choice(list("aaaaaaaabbcd"), 80).tolist()
        n = int(rng.integers(20, 80))
        before, after = Corpus(label[:n], list(range(n))), Corpus(label, list(range(len(label))))
        complete = {name for name, size in Counter(label[:n]).items() if size >= MIN_GROUPS}
        n_moved += len(before.moved())
        for row, (old, new) in enumerate(zip(before.sides(), after.sides(), strict=False)):
            if label[row] in complete:
                assert new in (old, after.hashed[row])
                assert not (old == "train" and new != after.hashed[row])
    assert n_moved > 50


def test_unlabelled_rows_and_rows_of_no_side_count_for_nothing() -> None:
    corpus = Corpus([None] * 10 + ["a"] * 5, list(range(15)))
    corpus.hashed = ["train"] * 10 + ["train", "excluded", "transfer", "train", "train"]
    assert corpus.moved() == {}
