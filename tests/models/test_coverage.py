"""Figures of a tokenizer over texts whose words, pieces and marks can be counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ratchet.models.coverage import Coverage, coverage_by_language, measure_coverage


def _tokenizer(strip: bool = True) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = ["[UNK]", "late", "bus", "##es", "um", "की", "यह", "uber"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=strip)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.enable_padding(length=64)
    tokenizer.enable_truncation(2)
    return tokenizer


def test_figures_are_counted_over_words_without_padding_and_limits() -> None:
    found = measure_coverage(_tokenizer(), ["late buses, late bus", "um 好"])
    assert (found.n_texts, found.n_words) == (2, 6)
    assert found.pieces_per_word == pytest.approx(8 / 6)  # the comma is a piece too
    assert found.unknown_rate == pytest.approx(1 / 6)
    assert found.stripped_rate == 0


def test_marks_that_are_stripped_count_by_word() -> None:
    assert measure_coverage(_tokenizer(), ["über bus"]).stripped_rate == pytest.approx(1 / 2)
    assert measure_coverage(_tokenizer(strip=False), ["über bus"]).stripped_rate == 0
    assert measure_coverage(_tokenizer(strip=False), ["यह की"]).unknown_rate == 0


def test_texts_without_words_are_no_division_by_zero() -> None:
    assert measure_coverage(_tokenizer(), ["?!", ""]).shortcomings() == []


def test_each_bound_is_named() -> None:
    known = Coverage(10, 10, 1.2, 0.0, 0.0)
    assert known.shortcomings() == []
    assert Coverage(10, 10, 2.6, 0.06, 0.6).shortcomings() == [
        "6% of the words unknown",
        "2.6 pieces a word",
        "60% of the words without their marks",
    ]


def test_languages_of_few_texts_are_left_out() -> None:
    german, english = "Der Bus kommt heute leider wieder zu spät an", "the bus is late again this morning"
    found = coverage_by_language(_tokenizer(), [german] * 40 + [english] * 31 + ["el autobús llega tarde"] * 3)
    assert {name: item.n_texts for name, item in found.items()} == {"de": 40, "en": 31}
