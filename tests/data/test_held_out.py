"""A person's own text that nearly repeats a held-out text is not trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from ratchet.data.held_out import NearDuplicatesOf
from ratchet.labels.human_labels import usable_labels

HELD_OUT = "a quietly moving film about two brothers who meet again after many years at sea"


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    if len(words) < 3:
        return {(word,) for word in words}
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}


def made_up(rng: np.random.Generator, n: int) -> list[str]:
    return [" ".join(rng.choice(["a", "b", "c"], size=rng.integers(0, 9))) for _ in range(n)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 1.0])
def test_it_finds_what_comparing_every_pair_finds(threshold: float) -> None:
    rng = np.random.default_rng(7)
    few, others = made_up(rng, 60), made_up(rng, 60)
    expected = []
    for text in few:
        pairs = [(shingles(text), shingles(other)) for other in others]
        expected.append(any(a & b and len(a & b) / len(a | b) >= threshold for a, b in pairs))
    assert 0 < sum(expected) < len(few)
    search = NearDuplicatesOf(few, threshold)
    assert search.among(others).tolist() == expected
    parts = [search.among(others[at : at + 7]) for at in range(0, len(others), 7)]
    assert np.any(parts, axis=0).tolist() == expected


def test_texts_without_words_and_no_texts_are_near_nothing() -> None:
    assert NearDuplicatesOf(["...", ""], 0.5).among(["...", "", HELD_OUT]).tolist() == [False, False]
    assert NearDuplicatesOf([], 0.5).among([HELD_OUT]).shape == (0,)
    assert NearDuplicatesOf([HELD_OUT], 0.5).among([]).tolist() == [False]


def decisions(texts: dict[str, str], state: str = "resolved") -> pd.DataFrame:
    frame = pd.DataFrame({"id": list(texts), "text": list(texts.values())}, dtype="str")
    return frame.assign(label="good", source="own", state=state)


def held_out() -> Iterator[pd.DataFrame]:
    yield pd.DataFrame({"id": ["v1"], "text": ["dull from the first scene to the last"]})
    yield pd.DataFrame({"id": ["v2"], "text": [HELD_OUT]})


def test_the_text_itself_and_one_word_more_are_held_out_and_counted_apart() -> None:
    said = decisions({"z": f"{HELD_OUT} indeed", "v2": HELD_OUT, "own": "nothing like any of them at all", "pool": "x"})
    usable = usable_labels(said, ["pool"], held_out(), 0.8)
    assert usable.labels["id"].tolist() == ["own", "pool"]
    assert (usable.n_held_out, usable.n_near_held_out) == (1, 1)


def test_a_text_of_the_pool_is_the_splits_business() -> None:
    said = decisions({"pool": f"{HELD_OUT} indeed"})
    assert usable_labels(said, ["pool"], held_out(), 0.8).labels["id"].tolist() == ["pool"]
    assert usable_labels(said, [], held_out(), 0.8).labels.empty


def test_without_decisions_no_held_out_text_is_read() -> None:
    read = held_out()
    usable = usable_labels(decisions({"z": HELD_OUT}, "escalated"), [], read, 0.8)
    assert (len(usable.labels), usable.n_held_out, usable.n_near_held_out) == (0, 0, 0)
    assert next(read)["id"].tolist() == ["v1"]
