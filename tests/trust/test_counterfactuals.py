"""Counterfactuals find the planted word, need fewer edits than chance, and exchange words for near ones."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.trust.counterfactuals import Counterfactual, apply_edits, cpu_shares_s, search, summary
from ratchet.trust.lockstep import cached_score, run_together
from ratchet.trust.neighbours import Neighbours
from tests.support.linear_words import LinearWords
from tests.support.tickets import TicketWords

FILLER = "one two three four five six seven eight nine"


def run(
    texts: list[str], shares: dict[str, float], neighbours: Neighbours | None = None, seed: int | None = None
) -> list[Counterfactual]:
    searches = [
        search(text, neighbours, 3, 4, None if seed is None else np.random.default_rng([seed, index]))
        for index, text in enumerate(texts)
    ]
    return run_together(searches, cached_score(LinearWords(shares)))


def test_the_planted_trigger_is_the_one_edit() -> None:
    (found,) = run([f"{FILLER} trigger"], {"trigger": 0.4, "one": -0.1})
    assert found.flipped
    assert found.edits == [("trigger", "")]
    assert found.edited == FILLER
    assert found.edit_rate == pytest.approx(0.1)


def test_edits_that_were_not_needed_are_taken_back() -> None:
    # alone the largest word first, then two together turn it; the first of three is no longer needed
    shares = {"a": 0.2, "b": 0.15, "c": 0.1, "bad": -0.2}
    (found,) = run(["a b c bad"], shares)
    left = sum(shares[word] for word in found.edited.lower().split())
    assert found.flipped
    assert left < 0
    for old, _ in found.edits:
        assert left + shares[old] >= 0 or len(found.edits) == 1


def test_without_a_way_the_search_says_so_and_keeps_its_limit() -> None:
    (found,) = run([FILLER], {"one": 0.1, "two": 0.1, "three": 0.1, "four": 0.1})
    assert not found.flipped
    assert len(found.edits) == 3


def test_a_word_is_exchanged_for_a_near_one_or_its_opposite() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.8, 0.3]], dtype=np.float32)
    neighbours = Neighbours(["good", "nice", "chair", "fine"], vectors, [["good", "bad"]])
    assert neighbours.near("Good", 2) == ["bad", "nice", "fine"]
    assert neighbours.near("unknown", 2) == []
    assert neighbours.cosine("good", "nice") == pytest.approx(0.9 / np.hypot(0.9, 0.1))
    assert np.isnan(neighbours.cosine("good", "bad"))
    (found,) = run(["Good chair"], {"good": 0.3, "nice": 0.2, "bad": -0.3}, neighbours)
    assert (found.edited, found.edits) == ("Bad chair", [("Good", "bad")])


def test_search_needs_fewer_edits_than_chance_and_turns_more() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation([*FILLER.split(), "superb", "weak"])) for _ in range(40)]
    shares = {"superb": 0.3, "weak": -0.1}
    found, random = run(texts, shares), run(texts, shares, seed=1)
    told = summary(found, random, (8.0, 2.0), ["negative", "positive"], 200, 0)
    assert told["search"]["success_rate"]["value"] == 1
    assert told["search"]["n_edits"]["value"] == 1
    assert told["random"]["success_rate"]["value"] < 0.6
    assert told["edits_saved"]["value"] >= 0
    assert told["search"]["texts_asked"]["value"] > told["random"]["texts_asked"]["value"]
    assert told["search"]["cpu_s_per_text"]["value"] == pytest.approx(8 / 40)
    assert told["random"]["cpu_s_per_text"]["low"] < 2 / 40 < told["random"]["cpu_s_per_text"]["high"]


def test_the_class_that_a_text_turns_to_is_told_by_the_class_it_came_from() -> None:
    predictor = TicketWords({"slightly": ("praise", 0.5)})
    texts = ["crash crash since monday", "refund slightly", "thanks invoice thanks"]
    found = run_together([search(text, None, 3, 4) for text in texts], cached_score(predictor))
    assert [(predictor.labels[item.predicted], predictor.labels[item.becomes]) for item in found] == [
        ("bug", "billing"),  # without any cue the first class
        ("billing", "praise"),
        ("praise", "billing"),
    ]
    told = summary(found, found, (1.0, 1.0), predictor.labels, 100, 0)["by_class"]
    assert {label: of_class["becomes"] for label, of_class in told.items()} == {
        "billing": {"praise": 1},
        "bug": {"billing": 1},
        "praise": {"billing": 1},
    }
    assert [of_class["n_edits"]["value"] for of_class in told.values()] == [1, 2, 1]


def test_a_text_that_does_not_turn_becomes_nothing() -> None:
    (found,) = run([FILLER], {"one": 0.1, "two": 0.1, "three": 0.1, "four": 0.1})
    told = summary([found], [found], (1.0, 1.0), ["negative", "positive"], 100, 0)["by_class"]["positive"]
    assert (told["success_rate"]["value"], told["becomes"]) == (0, {})


def test_seconds_are_shared_by_the_words_that_were_asked() -> None:
    items = [Counterfactual("a b", "", [], 0, 0, 3, 0.0), Counterfactual("a b c d", "", [], 0, 0, 1, 0.0)]
    assert cpu_shares_s(items, 5.0) == pytest.approx([3.0, 2.0])
    assert cpu_shares_s([], 5.0) == []


def test_edits_keep_what_stands_between_words() -> None:
    text = "Not bad, really."
    assert apply_edits(text, [(0, 3), (4, 7), (9, 15)], {}) == text
    assert apply_edits(text, [(0, 3), (4, 7), (9, 15)], {0: "very"}) == "Very bad, really."
