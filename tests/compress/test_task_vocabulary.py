"""A backbone cut to the vocabulary of a task before training: smaller, and the same of the texts that chose."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.compress import task_vocabulary as module
from ratchet.compress.task_vocabulary import agreement, task_vocabulary
from ratchet.compress.vocabulary import base_tokens, choose_tokens, prune_tokenizer
from ratchet.files import read_json, sha256_file
from ratchet.models.packed_weights import read_packed, unpack
from tests.support.packed import PIECES, packed_encoder
from tests.support.tiny import word_pieces

TEXTS = ["dull film", "a dull dull 字"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Unigram backbone."""
    packed_encoder(tmp_path / "small.bin")
    (tmp_path / "whole").mkdir()
    unpack(read_packed(tmp_path / "small.bin"), tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every vocabulary counts as a large one."""
    monkeypatch.setattr(module, "LARGE", 10)


def hidden(folder: Path, texts: list[str]) -> list[Any]:
    """Last hidden states of each text, alone."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModel

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()
    with torch.inference_mode():
        return [
            model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state.numpy() for text in texts
        ]  # (1, tokens, hidden) each


def test_what_stays_says_the_same_and_the_rest_is_gone(folder: Path, tmp_path: Path, large: None) -> None:
    cut, report = task_vocabulary(folder, TEXTS, tmp_path / "cut")
    pieces = [piece for piece, _ in read_json(cut / "tokenizer.json")["model"]["vocab"]]
    gone = set(PIECES) - set(pieces)
    assert not gone & {"<s>", "<pad>", "</s>", "<unk>", "▁que", "ry", ":", "▁film", "▁dull", *"dulfim字▁"}
    assert report["n_tokens_before"] == len(PIECES)
    assert report["n_tokens"] == len(pieces) == read_json(cut / "config.json")["vocab_size"]
    for before, after in zip(hidden(folder, TEXTS), hidden(cut, TEXTS), strict=True):
        np.testing.assert_array_equal(before, after)
    assert read_json(cut / "1_Pooling/config.json") == read_json(folder / "1_Pooling/config.json")


def test_a_word_that_was_not_seen_falls_to_characters_and_nothing_becomes_unknown(
    folder: Path, tmp_path: Path, large: None
) -> None:
    from tokenizers import Tokenizer

    cut, _ = task_vocabulary(folder, ["film"], tmp_path / "cut")
    tokenizer = Tokenizer.from_file(str(cut / "tokenizer.json"))
    assert tokenizer.encode("dull", add_special_tokens=False).tokens == ["▁", "d", "u", "l", "l"]
    unknown = tokenizer.token_to_id("<unk>")
    assert tokenizer.encode("dullness 字", add_special_tokens=False).ids.count(unknown) == 1  # n, e, s, s: one run
    assert agreement(folder, cut, ["film", "dull"]) == {"equal_rate": 0.5, "length_ratio": (6 + 10) / (6 + 6)}


def test_the_report_estimates_what_new_texts_will_lack(folder: Path, tmp_path: Path, large: None) -> None:
    _, report = task_vocabulary(folder, ["dull film", "dull"], tmp_path / "cut")
    assert report["unseen_rate"] == pytest.approx(1 / 3)  # film, once among three tokens
    _, empty = task_vocabulary(folder, [], tmp_path / "empty")
    assert np.isnan(empty["unseen_rate"])


def test_the_same_texts_give_the_same_bytes(folder: Path, tmp_path: Path, large: None) -> None:
    made = [task_vocabulary(folder, texts, tmp_path / name)[0] for name, texts in (("a", TEXTS), ("b", TEXTS[::-1]))]
    names = ("config.json", "model.safetensors", "tokenizer.json")
    first, second = ([sha256_file(one / name) for name in names] for one in made)
    assert first == second


def test_word_pieces_are_cut_and_another_kind_stays(folder: Path, tmp_path: Path, large: None) -> None:
    assert task_vocabulary(word_pieces(tmp_path / "bert"), TEXTS, tmp_path / "cut")[0] == tmp_path / "cut"
    content = read_json(folder / "tokenizer.json")
    content["model"] = {"type": "WordLevel", "vocab": {letter: n for n, letter in enumerate(string.printable)}}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    assert task_vocabulary(folder, TEXTS, tmp_path / "other") == (
        folder,
        {"n_tokens_before": 100, "n_tokens": 100},
    )
    assert not (tmp_path / "other").exists()


def test_a_small_vocabulary_stays(folder: Path, tmp_path: Path) -> None:
    assert task_vocabulary(folder, TEXTS, tmp_path / "cut")[0] == folder


def test_a_unigram_vocabulary_is_renumbered_everywhere_with_its_scores(folder: Path) -> None:
    content = read_json(folder / "tokenizer.json")
    kept = choose_tokens(content, [], 0)
    assert set(kept.tolist()) == base_tokens(content)
    cut = prune_tokenizer(content, kept)
    scores = dict(map(tuple, content["model"]["vocab"]))
    assert all(scores[piece] == score for piece, score in cut["model"]["vocab"])
    pieces = [piece for piece, _ in cut["model"]["vocab"]]
    assert pieces[cut["model"]["unk_id"]] == "<unk>"
    prompt = cut["post_processor"]["special_tokens"]["query: "]
    assert [pieces[place] for place in prompt["ids"]] == prompt["tokens"]
    assert [pieces[token["id"]] for token in cut["added_tokens"]] == ["<s>", "<pad>", "</s>", "<unk>"]
