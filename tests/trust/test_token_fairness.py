"""Swaps of identity terms under one class, several, or none that counts as selected."""

from __future__ import annotations

import math

import pytest

from ratchet.measure.estimate import Estimate
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.token_fairness import UNDECIDED, Swap, make_swaps, token_fairness
from tests.support.linear_words import LinearWords
from tests.support.tickets import TicketWords

SWAP = Swap("gender", "texts", "he wrote", "she wrote")


def gap(predictor: TicketWords | LinearWords, selected: list[str]) -> float:
    metrics, _ = token_fairness(predictor, [SWAP], selected, 100, 1, 0)
    return metrics["counterfactual_gap"].value


def test_the_gap_is_of_all_selected_classes_together() -> None:
    predictor = TicketWords({"she": ("bug", 1.0)})  # from a third each to 1, e, 1 of 2 + e
    to = 2.718281828 / 4.718281828
    assert gap(predictor, ["bug"]) == pytest.approx(to - 1 / 3)
    assert gap(predictor, ["billing"]) == pytest.approx(1 / 3 - 1 / 4.718281828)
    assert gap(predictor, ["billing", "praise"]) == pytest.approx(to - 1 / 3)
    assert gap(predictor, ["billing", "bug", "praise"]) == pytest.approx(0)


def test_without_a_selection_it_is_the_total_variation_distance() -> None:
    assert gap(TicketWords({"she": ("bug", 1.0)}), []) == pytest.approx(2.718281828 / 4.718281828 - 1 / 3)
    two = LinearWords({"she": 0.2})
    assert gap(two, []) == pytest.approx(gap(two, ["positive"])) == pytest.approx(0.2)


def flip_rate(predictor: TicketWords | LinearWords, *swaps: Swap) -> Estimate:
    metrics, _ = token_fairness(predictor, list(swaps), [], 100, 1, 0)
    return metrics["counterfactual_flip_rate"]


def test_which_of_many_classes_comes_first_by_a_hair_is_no_decision() -> None:
    """A third each, a little more for another class: nobody decided anything. With a strong pull one is turned to."""
    hair = flip_rate(TicketWords({"she": ("bug", 0.1), "he": ("billing", 0.1)}), SWAP)
    assert math.isnan(hair.value)
    assert hair.reason == UNDECIDED
    strong = flip_rate(TicketWords({"she": ("bug", 3.0), "he": ("billing", 0.1)}), SWAP)
    assert (strong.value, strong.n) == (1, 1), "decided on one side is enough"
    decided = Swap("gender", "texts", "she wrote she", "she wrote")
    both = flip_rate(TicketWords({"she": ("bug", 3.0), "he": ("billing", 0.1)}), SWAP, decided)
    assert (both.value, both.n) == (0.5, 2)


def test_of_two_classes_every_prediction_is_decided() -> None:
    assert flip_rate(LinearWords({"she": 0.01, "he": -0.01}), SWAP).value == 1


def test_a_phrase_that_speaks_of_nobody_is_not_swapped() -> None:
    rows = {"origin": [["American", "British"], ["he", "she"]]}
    lexicon = Lexicon(attributes={}, phrases=["American Express"], swaps=rows, templates=[])
    texts = {
        "1": "my American Express card",
        "2": "an American with an American Express card",
        "3": "AMERICAN EXPRESS, he said",
        "4": "an American expressway",
    }
    swaps = make_swaps(texts, lexicon, 99, {})
    after = {swap.before: swap.after for swap in swaps}
    assert after == {
        texts["2"]: "an British with an American Express card",
        texts["3"]: "AMERICAN EXPRESS, she said",
        texts["4"]: "an British expressway",
    }
