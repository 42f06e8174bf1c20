"""What the task's language file says, and that a language may say nothing."""

from __future__ import annotations

import re

import pytest

from ratchet.errors import ParamsError
from ratchet.params import check_params
from ratchet.trust.language import Language, any_article, fitting_article
from ratchet.trust.word_importance import stem_key

ITALIAN = {"lo": "z|s[^aeiou]", "il": ""}


def test_the_first_form_that_fits_is_taken() -> None:
    assert fitting_article("il", "Zaino", ITALIAN) == "lo"
    assert fitting_article("lo", "treno", ITALIAN) == "il"
    assert fitting_article("il", "zaino", {}) == "il"
    assert fitting_article("x", "zaino", {"lo": "q"}) == "x"


def test_the_forms_as_one_pattern() -> None:
    assert re.fullmatch(any_article(ITALIAN), "lo")
    assert re.search(any_article({}), "any text at all") is None


def test_a_pattern_that_is_none_and_a_stemmer_that_is_none_are_named() -> None:
    with pytest.raises(ParamsError, match="no regular expression"):
        check_params(Language, "language", {"stemmer": "", "articles": {"a": "("}})
    with pytest.raises(ParamsError, match="no such stemmer"):
        stem_key("klingon")


def test_words_are_stemmed_by_the_language_or_not_at_all() -> None:
    assert stem_key("german")("Häuser") == stem_key("german")("haus")
    assert stem_key("")("Häuser") == "häuser"
