"""Personal data: found where it is, left alone where a number is no one's, masked once and for all; and languages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.data.languages import languages
from ratchet.data.personal_data import find_personal_data, mask_personal_data
from ratchet.data.rules.measures import PERSONAL, measure_texts
from ratchet.data.shingles import Shingles

# Numbers made for examples by those who issue the real ones: ISO 13616 registry and national tax and health offices.
FOUND = [
    ("mail jane.o-doe+x@mail.example.co.uk!", "emails", "jane.o-doe+x@mail.example.co.uk"),
    ("call 650-253-0000 now", "phones", "650-253-0000"),
    ("from abroad +49 30 123456 please", "phones", "+49 30 123456"),
    ("room 12 (650) 253-0000 3 times", "phones", "(650) 253-0000"),
    ("8/10 +1 650 253 0000 10 stars", "phones", "+1 650 253 0000"),
    ("visa 4111111111111111.", "cards", "4111111111111111"),
    ("since 1999 4685 5661 2221 9417 only", "cards", "4685 5661 2221 9417"),
    ("amex 3782 822463 10005", "cards", "3782 822463 10005"),
    ("to DE89 3704 0044 0532 0130 00 AND THEN", "ibans", "DE89 3704 0044 0532 0130 00"),
    ("FR1420041010050500013M02606", "ibans", "FR1420041010050500013M02606"),
    ("ssn 536-90-4399", "national_numbers", "536-90-4399"),
    ("dni 54362315K", "national_numbers", "54362315K"),
    ("nie X-2482300W", "national_numbers", "X-2482300W"),
    ("RCCMNL83S18D969H", "national_numbers", "RCCMNL83S18D969H"),
    ("nir 2 95 10 99 126 111 93", "national_numbers", "2 95 10 99 126 111 93"),
    ("cpf 390.533.447-05", "national_numbers", "390.533.447-05"),
    ("nhs 943 476 5870", "national_numbers", "943 476 5870"),
]
REGIONS = ["US", "ES", "IT", "FR", "BR", "GB"]
NOTHING = [
    "made in 1984, 1985 and 1986 for $12,000,000.00",
    "8/10, no 10/10!",
    "ISBN 978-3-16-148410-0",
    "a @ b",
    "card 4111 1111 1111 1112",
    "GB82 WEST 1234 5698 7654 33",
    "ssn 000-12-3456",
    "54362315A",
    "0.123456789012345",
    "someone@localhost",
    "1234567890123",
    "(2012-04-23 23:00)",
    "from (1984) 2001 2005 on",
    "+12 345 points 6",
    "10 650 253 0000",
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_each_kind_is_found_and_masked(text: str, kind: str, value: str) -> None:
    assert [(found.kind, text[found.start : found.end]) for found in find_personal_data(text, REGIONS)] == [
        (kind, value)
    ]
    masked, counts = mask_personal_data(text, REGIONS)
    assert masked == text.replace(value, f"[{kind.removesuffix('s').upper()}]")
    assert counts == {kind: 1}


@pytest.mark.parametrize("text", NOTHING)
def test_numbers_that_are_no_ones_are_left_alone(text: str) -> None:
    assert find_personal_data(text, REGIONS) == []


@given(st.lists(st.sampled_from([text for text, _, _ in FOUND] + NOTHING), max_size=4).map("; ".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    once, counts = mask_personal_data(text, REGIONS)
    assert mask_personal_data(once, REGIONS) == (once, {})
    assert sum(counts.values()) >= len(find_personal_data(text, REGIONS))


def _kinds(text: str, *regions: str) -> list[str]:
    return [find.kind for find in find_personal_data(text, regions)]


def test_national_numbers_count_where_they_belong() -> None:
    assert _kinds("order 44051401359 of today", "PL") == ["national_numbers"]
    assert _kinds("order 44051401359 of today", "US", "GB") == []
    assert _kinds("call 650-253-0000 now", "US") == ["phones"]
    assert _kinds("call 650-253-0000 now", "DE") == []


def test_a_plus_and_addresses_count_everywhere() -> None:
    assert _kinds("jo@example.org or +49 30 123456 or +1 650 253 0000") == ["emails", "phones", "phones"]


def test_of_several_countries_those_of_the_language_count() -> None:
    german = "Bitte rufen Sie mich heute unter 030 123456 zurück."
    english = "Please call me back when you are in the office again, at 030 123456."
    assert _kinds(german, "US", "DE") == ["phones"]
    assert _kinds(english, "US", "DE") == []
    assert _kinds(english, "DE") == ["phones"]  # one country has no other to give way to
    assert _kinds("030 123456", "US", "DE") == ["phones"]  # nothing tells the language


def test_measures_are_those_of_the_texts() -> None:
    texts = [text for text, _, _ in FOUND] + NOTHING
    found = measure_texts(texts, PERSONAL, REGIONS)
    for row, text in enumerate(texts):
        kinds = [f"n_{find.kind}" for find in find_personal_data(text, REGIONS)]
        assert {name: found[name][row].as_py() for name in PERSONAL} == {name: kinds.count(name) for name in PERSONAL}


@settings(deadline=None)  # the first call loads two engines
@given(st.lists(st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=30), max_size=5))
def test_words_are_counted_as_shingles_count_them(texts: list[str]) -> None:
    counts = measure_texts(texts, ["n_words"], REGIONS)["n_words"]
    assert counts.to_pylist() == Shingles(texts).n_words.tolist()


# Article 1 of the Universal Declaration of Human Rights, https://www.un.org/en/about-us/universal-declaration-of-human-rights
ARTICLE_1 = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "pt": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
}


def test_languages_are_told_apart() -> None:
    assert languages(list(ARTICLE_1.values())) == list(ARTICLE_1)
    assert languages(["", "12:30 !!", "ok"])[:2] == ["und", "und"]
