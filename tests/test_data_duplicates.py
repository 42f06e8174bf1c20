"""Near-duplicate search against the exact answer by brute force."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from ratchet.data.duplicates import MISS_RATE, N_PERMUTATIONS, Shingles, near_duplicate_pairs, rows_per_band, words


def _similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of three-word shingles, from its definition."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        found = words(text)
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
        assert shingles.of(index) == Shingles([text]).of(0)


def test_word_order_matters() -> None:
    assert Shingles(["a b c"]).of(0) != Shingles(["c b a"]).of(0)


@pytest.mark.parametrize("texts", [[], ["one text"], ["", "..."]])
def test_nothing_to_pair(texts: list[str]) -> None:
    assert near_duplicate_pairs(Shingles(texts), 0.8) == []


@pytest.mark.parametrize("threshold", np.linspace(0.5, 1, 11).tolist())
def test_bands_miss_at_most_the_declared_rate(threshold: float) -> None:
    rows = rows_per_band(threshold)
    assert (1 - threshold**rows) ** (N_PERMUTATIONS / rows) <= MISS_RATE
