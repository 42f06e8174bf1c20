"""The repairs of texts, and the id of a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.data.cleaning import REPAIRS, clean_texts, text_id


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Good.<br /><BR>Really", "Good. Really"),
        ("<p class='x'>a <em>b</em></p>", "a b"),
        ("<SPOILER> he <sigh> dies", "<SPOILER> he <sigh> dies"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("T&A &amp; &#305; &lt;br&gt;", "T&A & ı"),
        ("wow \x96 four\x85", "wow – four…"),
        ("\x08\x08A \x10own\x81", "A own"),
        ("cafe\u0301", "café"),
        ("a\u00a0 b\r\n\tc ", "a b c"),
        ("ｇｏｏｄ\u3000ｆｉｌｍ！１", "good film!1"),
        ("很ｇｏｏｄ，好！", "很good，好！"),
        ("ﾊﾟｰﾃｨ", "パーティ"),
        ("ｅ\u0301", "é"),
        ("<br /> ", ""),
    ],
)
def test_cleans(raw: str, cleaned: str) -> None:
    assert clean_texts([raw])[0] == [cleaned]


def test_counts_each_text_once_for_each_repair() -> None:
    _, counts = clean_texts(["a<br />b<br />c", "&amp;", "clean", "x\x85"])
    assert counts == {
        "entities": 1,
        "line_breaks": 1,
        "tags": 0,
        "control_characters": 1,
        "width_forms": 0,
        "unicode_nfc": 0,
        "whitespace": 0,
    }
    assert list(counts) == list(REPAIRS)


@given(st.text())
def test_cleaned_texts_are_normalised_and_free_of_controls(text: str) -> None:
    (cleaned,), _ = clean_texts([text])
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not [character for character in cleaned if unicodedata.category(character) == "Cc"]


@given(st.text())
def test_id_ignores_case_and_whitespace(text: str) -> None:
    assert text_id(text) == text_id(f"  {text.casefold()}\n") == text_id("  ".join(text.split()))


def test_id_is_the_start_of_the_hash_of_the_normalised_text() -> None:
    # sha256sum of "a b", as printed by coreutils
    assert text_id(" A  b") == "c8687a08aa5d6ed2"
