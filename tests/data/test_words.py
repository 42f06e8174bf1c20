"""Words in every script: the same for validation, near-duplicates, slices, explanations and edits."""

from __future__ import annotations

import numpy as np
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.near_duplicates import near_duplicate_pairs
from ratchet.data.rules.measures import measure_texts
from ratchet.data.shingles import Shingles
from ratchet.data.words import (
    APOSTROPHES,
    COMPOUNDS,
    _by_script,
    _plain,
    find_terms,
    head,
    insert_word,
    is_plain,
    letter_runs,
    term_finder,
    tokens,
    word_spans,
    words,
)
from ratchet.trust.attributions import attribute
from ratchet.trust.harmless_words import deletions
from ratchet.trust.lockstep import cached_score
from ratchet.trust.slices import length_groups
from ratchet.trust.text_edits import Invariance, invariance_edits, replace_terms
from tests.support.films import CONTRAST, INVARIANCE
from tests.support.linear_words import LinearWords
from tests.support.scripts import WORDS

every_script = pytest.mark.parametrize(("text", "expected"), WORDS.values(), ids=WORDS)
UNSPACED = ("ja", "th", "zh")


@every_script
def test_words_are_those_a_reader_counts(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert [text[start:end] for start, end in word_spans(text)] == expected


@every_script
def test_validation_and_near_duplicates_count_them(text: str, expected: list[str]) -> None:
    n_words = len([part for word in expected for part in word.split("'")])  # there "isn't" counts as two
    counts = measure_texts([text], ["n_words"], ["US"])["n_words"]
    assert np.asarray(counts).tolist() == [n_words] == Shingles([text]).n_words.tolist()


@every_script
def test_explanations_have_a_value_for_each(text: str, expected: list[str]) -> None:
    praised = expected[-1].lower()
    predictor = LinearWords({praised: 2.0})
    (found,) = attribute(predictor, cached_score(predictor), [text], max_evals=1024)
    assert found.words == expected
    best = int(found.values[:, 1].argmax())
    assert found.words[best].lower() == praised
    assert found.additivity_error < 1e-6


@every_script
def test_each_is_deleted_alone(text: str, expected: list[str]) -> None:
    (one,) = [item for item in deletions([text], [expected[1].lower()], np.random.default_rng(0)) if item.harmless]
    assert words(one.edited) == [*expected[:1], *expected[2:]]


def test_no_script_is_of_too_few_words() -> None:
    for text in ("这部电影非常好看", "この映画はいい", "หนังดี", "여기 정말 좋다", "🔥🔥🔥"):
        assert len(words(text, "")) >= 3


def test_a_vowel_sign_makes_another_word() -> None:
    assert near_duplicate_pairs(Shingles(["यह की किताब", "यह का किताब"]), 0.8) == []
    assert near_duplicate_pairs(Shingles(["यह की किताब", "यह की किताब।"]), 0.8) == [(0, 1)]
    assert near_duplicate_pairs(Shingles(["很好🔥", "很好👎"]), 0.8) == []


def test_near_duplicates_in_scripts_without_spaces() -> None:
    text = "这部电影从头到尾都非常好看我还想再看一遍"
    assert near_duplicate_pairs(Shingles([text, f"{text}！", text.replace("好看", "难看")]), 0.8) == [(0, 1)]


def test_length_is_that_of_the_script() -> None:
    texts = ["好", "这部电影很好看", "这部电影非常好看我还想看", "a very short one"]
    assert length_groups(texts, [4, 8]).tolist() == ["short", "medium", "long", "short"]
    assert tokens("这部 film 很好看") == ["这", "部", "film", "很", "好", "看"]
    assert head("这部 film 很好看", 4) == "这部 film 很"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("这部电影非常好看", "这部电影非常难看"),
        ("iPhone好看", "iPhone难看"),
        ("यह क है, कि नहीं", "यह ख है, कि नहीं"),  # with a vowel sign it is another word
        ("หนังดีมาก", "หนังแย่มาก"),
        ("Der Film ist Gut!", "Der Film ist Schlecht!"),
        ("فيلم رائع", "فيلم سيئ"),
        ("🔥 und gut-gemeint", "🔥 und gut-gemeint"),
    ],
)
def test_terms_are_replaced(text: str, expected: str) -> None:
    partners = {"好看": "难看", "क": "ख", "ดี": "แย่", "gut": "schlecht", "رائع": "سيئ"}
    assert replace_terms(text, partners, {}) == expected


def test_a_mark_makes_another_term() -> None:
    assert [match.start() for match in find_terms("ดีด", ("ด",)).finditer("ดีด")] == [2]
    assert term_finder(["好看", "dull"])("不好看 , dull , dulled") == ["dull", "好看"]


def _edits() -> Invariance:
    return INVARIANCE.model_copy(update={"typo_min_letters": 4, "punctuation": True})


@every_script
def test_typos_keep_marks_with_their_letters(text: str, expected: list[str]) -> None:
    edited = invariance_edits(_edits(), CONTRAST, {})["typos"](text, "id")
    assert sorted(regex.findall(r"\X", edited)) == sorted(regex.findall(r"\X", text))
    has_long = any(len(letters) >= 4 for letters in letter_runs(text))
    assert (edited != text) == has_long


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so it was", "so it was ."),
        ("so it was.", "so it was"),
        ("很好", "很好。"),
        ("很好。", "很好"),
        ("यह है", "यह है ।"),
        ("ดี", "ดี"),
    ],
)
def test_full_stops_of_the_script(text: str, expected: str) -> None:
    assert invariance_edits(_edits(), CONTRAST, {})["punctuation"](text, "id") == expected


@every_script
def test_words_are_inserted_as_the_script_spaces_them(text: str, expected: list[str]) -> None:
    edited = insert_word(text, expected[0], 1)
    assert words(edited) == [expected[0], expected[0], *expected[1:]] or expected[0] in tokens(edited)
    assert (" " in edited) == (text not in [WORDS[name][0] for name in UNSPACED])


plain_texts = st.text(st.one_of(st.sampled_from("ab É_7'’-² .\n"), st.characters(max_codepoint=0x22FF)), max_size=30)


@given(plain_texts, st.sampled_from(["", APOSTROPHES, COMPOUNDS]))
def test_the_fast_way_finds_what_the_other_does(text: str, joiners: str) -> None:
    if is_plain(text):
        assert _plain(joiners).findall(text) == _by_script(joiners).findall(text)


@given(st.text(max_size=30))
def test_words_keep_to_the_boundaries_of_the_annex(text: str) -> None:
    """Each word is whole segments of UAX 29, but for what the module says is tailored: joiners, numerals of No and Nl,
    and full stops, colons and quotes inside a segment, at which it is cut."""
    cuts = {0, len(text), *(match.start() for match in regex.finditer(r"(?w)\b", text))}
    for start, end in word_spans(text, ""):
        assert start in cuts or regex.match(r"[^\p{L}\p{N}_]", text[start - 1])
        inner = cuts & set(range(start + 1, end))
        assert all(regex.search(r"[\p{Nl}\p{No}]", text[at - 1 : at + 1]) for at in inner)


@given(st.text(max_size=40))
def test_tokens_hold_all_but_white_space(text: str) -> None:
    assert "".join(tokens(text)) == "".join(text.split())
