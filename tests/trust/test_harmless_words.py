"""Texts that turn on one harmless word are counted and listed, beside as many deletions of other words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Proba
from ratchet.trust.harmless_words import deletions, harmless_words
from tests.support.linear_words import LinearWords

FILLER = " ".join(f"w{i}" for i in range(8))
WORDS = ["the", "of"]


def test_each_harmless_word_is_deleted_once_and_as_many_others() -> None:
    texts = ["The end of the story, of all", "the", "no such", "of the"]
    found = deletions(texts, WORDS, np.random.default_rng(0))
    mine = [(one.text, one.word, one.edited) for one in found if one.harmless]
    assert mine == [
        (0, "the", "end of the story, of all"),
        (0, "of", "The end the story, of all"),
        (3, "of", "the"),
        (3, "the", "of"),
    ]
    others = [one for one in found if not one.harmless]
    assert [one.text for one in others] == [0, 0]
    assert len({one.word for one in others}) == 2


def test_weaknesses_are_the_texts_whose_class_hangs_on_a_harmless_word() -> None:
    texts = [f"the {FILLER}", f"of {FILLER}", f"the superb {FILLER}", FILLER, f"The of w1 {FILLER}"]
    told = harmless_words(LinearWords({"the": 0.2, "of": -0.05, "superb": 0.3, "w0": -0.1}), texts, WORDS, 5, 200, 0)
    assert told["n_texts"] == 5
    assert {(row["text"], row["deleted"], row["from"]) for row in told["weaknesses"]} == {
        (texts[0], "the", "positive"),
        (texts[4], "the", "positive"),
    }
    assert told["weaknesses"][0]["confidence lost"] == pytest.approx(0.2)
    share = Estimate.from_json(told["texts_that_turn"])
    assert (share.value, share.n) == (2 / 4, 4)  # of the texts that hold a harmless word
    rate = Estimate.from_json(told["turned_per_deletion"]["harmless words"])
    assert (rate.value, rate.n) == (0.4, 5)
    assert rate.low < rate.value < rate.high
    assert told["turned_per_deletion"]["other words"]["value"] == 0
    assert told["turned_per_deletion"]["other words"]["high"] > 0.2  # five deletions prove little
    assert [(row["word"], row["texts that turn"]) for row in told["words"]] == [("the", 2)]


class Batched(LinearWords):
    """Sure of a text alone, and of several at once by their words."""

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        return np.array([[0.4, 0.6]]) if len(texts) == 1 else super().predict_proba(texts)


def test_what_turns_among_others_alone_is_no_weakness() -> None:
    texts, shares = [f"the {FILLER}", f"the {FILLER} more"], {"the": 0.2, "w0": -0.1}
    assert harmless_words(LinearWords(shares), texts, ["the"], 5, 200, 0)["texts_that_turn"]["value"] == 1
    assert harmless_words(Batched(shares), texts, ["the"], 5, 200, 0)["texts_that_turn"]["value"] == 0


def test_without_harmless_words_nothing_is_known() -> None:
    told = harmless_words(LinearWords(), ["superb", FILLER], WORDS, 5, 200, 0)
    assert np.isnan(told["texts_that_turn"]["value"])
    assert told["weaknesses"] == told["words"] == []
