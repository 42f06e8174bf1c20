"""Edits do what they say: contrast edits turn the label around, invariance edits touch only what cannot matter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.words import words
from ratchet.errors import ParamsError
from ratchet.trust.text_edits import Contrast, contrast_edits, invariance_edits
from tests.support.films import ARTICLES, CONTRAST, INVARIANCE

SMALL: dict[str, Any] = {
    "max_cues": 2,
    "max_words": 8,
    "blockers": ["but"],
    "unpaired": {"good": ["fun"]},
    "swaps": {"swap": {"classes": ["bad", "good"], "pairs": [["awful", "superb"], ["dull", "bright"]]}},
    "rewrites": {
        "negate": {"label": "good", "becomes": "bad", "pattern": r"\b(is) ({good})\b", "replacement": r"\1 not \2"}
    },
}


def edited(label: str, name: str, text: str, rules: Contrast | None = None) -> str:
    return contrast_edits(rules or Contrast.model_validate(SMALL), ARTICLES)[label][name].edit(text, "id")


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
    assert "negate" not in contrast_edits(Contrast.model_validate(SMALL), ARTICLES)["bad"]


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
    listed = [word for pair in CONTRAST.opposites for word in pair]
    assert not set(listed) & {word for items in CONTRAST.unpaired.values() for word in items}
    assert not set(listed) & set(CONTRAST.blockers)


THREE = Contrast.model_validate(
    {
        "max_cues": 2,
        "max_words": 12,
        "blockers": [],
        "unpaired": {},
        "swaps": {
            "money for faults": {"classes": ["billing", "bug"], "pairs": [["invoice", "crash"], ["charged", "frozen"]]},
            "faults for thanks": {"classes": ["bug", "praise"], "pairs": [["broken", "lovely"]]},
        },
        "rewrites": {},
    }
)


def test_edits_lead_between_any_two_of_many_classes() -> None:
    edits = contrast_edits(THREE, ARTICLES)
    assert {label: {name: made.becomes for name, made in of_label.items()} for label, of_label in edits.items()} == {
        "billing": {"money for faults": "bug"},
        "bug": {"money for faults": "billing", "faults for thanks": "praise"},
        "praise": {"faults for thanks": "bug"},
    }
    to_billing, to_praise = (edits["bug"][name].edit for name in THREE.swaps)
    assert to_billing("a crash again", "id") == "an invoice again"
    assert to_praise("it is broken", "id") == "it is lovely"
    both = "a crash, it is broken"
    assert to_billing(both, "id") == to_praise(both, "id") == both  # an opinion that the other swap turns would stay
    assert edits["billing"]["money for faults"].edit("charged, and lovely", "id") == "charged, and lovely"


def test_a_language_without_articles_changes_no_word_but_the_listed() -> None:
    assert contrast_edits(THREE, {})["billing"]["money for faults"].edit("an invoice", "id") == "an crash"
    vowels = {"ett": "[x]", "en": ""}
    assert contrast_edits(THREE, vowels)["bug"]["faults for thanks"].edit("ett broken", "id") == "en lovely"


@pytest.mark.parametrize(
    "changes",
    [
        {"swaps": {"swap": {"classes": ["bad", "good"], "pairs": [["awful", "superb"], ["awful", "great"]]}}},
        {"swaps": {"swap": {"classes": ["bad", "good"], "pairs": [["awful"]]}}},
        {"rewrites": {"broken": {"label": "good", "becomes": "bad", "pattern": "(", "replacement": ""}}},
    ],
)
def test_a_faulty_file_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match="data/challenge"):
        contrast_edits(Contrast.model_validate({**SMALL, **changes}), ARTICLES)


EDITS = invariance_edits(INVARIANCE, CONTRAST, ARTICLES)


def unchanging(name: str, text: str, key: str = "id") -> str:
    return EDITS[name](text, key)


def test_terms_become_others_of_their_list() -> None:
    for key in ("a", "b", "c"):
        (new,) = words(unchanging("nationalities", "French", key).lower())
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
