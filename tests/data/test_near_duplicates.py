"""Near-duplicate search against the exact answer by brute force."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from ratchet.data.near_duplicates import MISS_RATE, NearDuplicateSearch, near_duplicate_pairs, rows_per_band
from ratchet.data.shingles import N_PERMUTATIONS, Shingles
from ratchet.data.words import words
from ratchet.errors import ValidationError


def _similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of three-word shingles, from its definition."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        found = words(text.casefold(), joiners="")
        return {(word,) for word in found} if len(found) < 3 else set(zip(found, found[1:], found[2:], strict=False))

    a, b = shingles(first), shingles(second)
    return len(a & b) / len(a | b) if a and b else 0.0


def _corpus(seed: int, n_texts: int = 60) -> list[str]:
    """Random texts of 0 to 60 words, half of them edited copies of another one."""
    rng = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(300)]
    texts = [" ".join(rng.choices(vocabulary, k=rng.choice([0, 1, 2, 3, 8, 30, 60]))) for _ in range(n_texts // 2)]
    for _ in range(n_texts // 2):
        copy = rng.choice(texts).split()
        for _ in range(rng.randint(0, 2)):
            copy.insert(rng.randint(0, len(copy)), rng.choice(vocabulary))
        texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.95, 1.0])
def test_finds_what_brute_force_finds(threshold: float) -> None:
    for seed in range(4):
        texts = _corpus(seed)
        expected = [
            (first, second)
            for first, second in combinations(range(len(texts)), 2)
            if _similarity(texts[first], texts[second]) >= threshold
        ]
        assert expected
        assert near_duplicate_pairs(Shingles(texts), threshold) == expected


def test_order_does_not_matter() -> None:
    texts = _corpus(9)
    order = list(range(len(texts)))
    random.Random(1).shuffle(order)
    shuffled = near_duplicate_pairs(Shingles([texts[index] for index in order]), 0.8)
    back = sorted((min(order[a], order[b]), max(order[a], order[b])) for a, b in shuffled)
    assert back == near_duplicate_pairs(Shingles(texts), 0.8)


def test_shingles_stay_within_their_text() -> None:
    texts = ["a b c d", "", "e", "f g", "h i j"]
    shingles = Shingles(texts)
    assert shingles.n_words.tolist() == [4, 0, 1, 2, 3]
    assert [len(shingles.of(index)) for index in range(5)] == [2, 0, 1, 2, 1]
    for index, text in enumerate(texts):
        assert shingles.of(index).tolist() == Shingles([text]).of(0).tolist()


def test_word_order_matters() -> None:
    assert Shingles(["a b c"]).of(0).tolist() != Shingles(["c b a"]).of(0).tolist()


@pytest.mark.parametrize("texts", [[], ["one text"], ["", "..."]])
def test_nothing_to_pair(texts: list[str]) -> None:
    assert near_duplicate_pairs(Shingles(texts), 0.8) == []


@pytest.mark.parametrize("threshold", np.linspace(0.5, 1, 11).tolist())
def test_bands_miss_at_most_the_declared_rate(threshold: float) -> None:
    rows = rows_per_band(threshold)
    assert (1 - threshold**rows) ** (N_PERMUTATIONS / rows) <= MISS_RATE


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [17, 0, 43]])
def test_batches_change_nothing(sizes: list[int]) -> None:
    texts = _corpus(3) + _corpus(3)[:10]
    sizes = [*sizes, 10]
    ends = np.cumsum(sizes)
    batches = [Shingles(texts[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
    with NearDuplicateSearch(0.8) as search:
        for batch in batches:
            search.add(batch)
        found = search.finish([texts])
    pairs = near_duplicate_pairs(Shingles(texts), 0.8)
    assert found.all_pairs() == pairs
    assert found.n_pairs() == len(pairs)
    later = {second for _, second in pairs}
    assert found.n_earlier().tolist() == [int(text in later) for text in range(len(texts))]


def test_copies_are_one_text_to_the_search() -> None:
    texts = [
        "the very same words in every one of these texts",
        "The VERY same words; in every one of these texts!",
    ] * 2000
    with NearDuplicateSearch(0.8) as search:
        search.add(Shingles(texts))
        found = search.finish([texts])
    assert len(found.pairs) == 0
    assert found.n_pairs() == 4000 * 3999 // 2
    assert found.n_pairs(np.array([1, 2] + [0] * 3998)) == 3


def test_another_order_gives_the_same_pairs() -> None:
    texts = _corpus(5)
    positions = np.random.default_rng(0).permutation(len(texts))
    shuffled = [""] * len(texts)
    for text, place in zip(texts, positions, strict=True):
        shuffled[place] = text
    with NearDuplicateSearch(0.7) as search:
        search.add(Shingles(texts))
        found = search.finish([texts]).placed(positions)
    assert found.all_pairs() == near_duplicate_pairs(Shingles(shuffled), 0.7)
    assert (found.first <= np.arange(len(texts))).all()


def test_too_many_candidates_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratchet.data.near_duplicates.MAX_CANDIDATES", 100)
    letter = " ".join(f"word{number}" for number in range(60))
    with pytest.raises(ValidationError, match="Too many texts are alike"):
        near_duplicate_pairs(Shingles([f"{letter} {name}" for name in range(40)]), 0.8)
