"""Edits do what they say: contrast edits turn the label around, invariance edits touch only what cannot matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.errors import ParamsError
from ratchet.params import read_yaml
from ratchet.trust.text_edits import Contrast, Invariance, contrast_edits, invariance_edits, words_of

FOLDER = Path(__file__).parents[2] / "data/challenge"
CONTRAST = Contrast.model_validate(read_yaml(FOLDER / "contrast.yaml"))
INVARIANCE = Invariance.model_validate(read_yaml(FOLDER / "invariance.yaml"))
SMALL: dict[str, Any] = {
    "classes": ["bad", "good"],
    "max_opinions": 2,
    "max_words": 8,
    "blockers": ["but"],
    "unpaired": {"good": ["fun"]},
    "swaps": [["awful", "superb"], ["dull", "bright"]],
    "rewrites": {"negate": {"label": "good", "pattern": r"\b(is) ({good})\b", "replacement": r"\1 not \2"}},
}


def edited(label: str, name: str, text: str, rules: Contrast | None = None) -> str:
    return contrast_edits(rules or Contrast.model_validate(SMALL))[label][name](text, "id")


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("good", "a superb, Bright film", "an awful, Dull film"),
        ("bad", "An awful film", "A superb film"),
        ("good", "superbly made", None),  # another word
        ("good", "superb but long", None),  # a blocker
        ("good", "superb and dull", None),  # two minds
        ("good", "superb fun", None),  # an opinion without partner would stay
        ("good", "superb superb superb", None),  # too many opinions
        ("good", "superb " + "word " * 9, None),  # too long
        ("bad", "superb", None),  # speaks for the other class
        ("good", "no opinion", None),
    ],
)
def test_swaps(label: str, text: str, expected: str | None) -> None:
    assert edited(label, "swap", text) == (expected or text)


def test_rewrites_only_where_nothing_else_speaks() -> None:
    assert edited("good", "negate", "it is superb") == "it is not superb"
    assert edited("good", "negate", "it is superb and bright") == "it is superb and bright"
    assert "negate" not in contrast_edits(Contrast.model_validate(SMALL))["bad"]


def test_swapping_there_and_back_gives_the_text_again() -> None:
    forth = edited("positive", "swap", "a gripping film , superb", CONTRAST)
    assert forth == "a plodding film , lousy"
    assert edited("negative", "swap", forth, CONTRAST) == "a gripping film , superb"


def test_the_lexicon_of_the_repository() -> None:
    assert edited("negative", "affirm", "hollywood ending just isn't very funny .", CONTRAST) == (
        "hollywood ending just is very funny ."
    )
    assert edited("positive", "negate", "it is a likable story", CONTRAST) == "it is not a likable story"
    assert edited("positive", "swap", "it won't be such a delight", CONTRAST) == "it won't be such a delight"
    words = [word for pair in CONTRAST.swaps for word in pair]
    assert not set(words) & {word for items in CONTRAST.unpaired.values() for word in items}
    assert not set(words) & set(CONTRAST.blockers)


@pytest.mark.parametrize(
    "changes",
    [
        {"swaps": [["awful", "superb"], ["awful", "great"]]},
        {"swaps": [["awful"]]},
        {"rewrites": {"broken": {"label": "good", "pattern": "(", "replacement": ""}}},
    ],
)
def test_a_faulty_file_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="data/challenge"):
        contrast_edits(Contrast.model_validate({**SMALL, **changes}))


EDITS = invariance_edits(INVARIANCE, CONTRAST)


def unchanging(name: str, text: str, key: str = "id") -> str:
    return EDITS[name](text, key)


def test_terms_become_others_of_their_list() -> None:
    for key in ("a", "b", "c"):
        (new,) = words_of(unchanging("nationalities", "French", key))
        assert new in INVARIANCE.interchangeable["nationalities"]
        assert new != "french"
        assert unchanging("nationalities", "French", key)[0].isupper()
    assert unchanging("nationalities", "frenchman") == "frenchman"
    assert unchanging("names", "no one") == "no one"
    assert unchanging("nationalities", "an italian film", "b").split()[0] in ("a", "an")


def test_contractions_go_both_ways_and_keep_casing() -> None:
    assert unchanging("contractions", "It isn't bad, some were not") == "It is not bad, some weren't"
    assert unchanging("contractions", "Don’t go") == "Do not go"


def test_casing_and_punctuation() -> None:
    cased = {unchanging("casing", "a well-made film", key) for key in "abcdef"}
    assert cased == {"A WELL-MADE FILM", "A Well-made Film"}
    assert unchanging("punctuation", "it ends .") == "it ends"
    assert unchanging("punctuation", "it ends") == "it ends ."


@given(st.text(alphabet="abcdefgh ,.'", max_size=60), st.text(min_size=1, max_size=4))
def test_a_typo_moves_two_inner_letters_of_one_word(text: str, key: str) -> None:
    new = unchanging("typos", text, key)
    assert sorted(new) == sorted(text)
    places = [at for at, (one, other) in enumerate(zip(text, new, strict=True)) if one != other]
    assert len(places) in (0, 2)
    if places:
        assert places[1] == places[0] + 1
        start = max((at + 1 for at in range(places[0]) if not text[at].isalpha()), default=0)
        assert places[0] > start, "the first letter stays"
    assert new == unchanging("typos", text, key)


def test_no_typo_in_a_listed_word() -> None:
    assert unchanging("typos", "excellent delightful") == "excellent delightful"
