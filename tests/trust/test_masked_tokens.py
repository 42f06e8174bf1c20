"""Token ids put together word by word are those of the tokenizer, and a graph in memory answers as the bundle does."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.compress.graph_predictor import GraphPredictor, as_graph
from ratchet.data.words import word_spans
from ratchet.engines.loading import load
from ratchet.models.predictor import Predictor
from ratchet.trust.attributions import attribute, keep_words
from ratchet.trust.lockstep import BATCH_TOKENS, cached_score, token_batches
from ratchet.trust.masked_tokens import masked_tokens
from tests.support.bundles import torch_bundle
from tests.support.linear_words import LinearWords
from tests.support.tiny import BLAME, FILLER, PRAISE, SPECIAL, tiny_backbone

ODD = "ab é'’-_,.°中文™²\t\n\x0b\x85\u2028\u200b\u0301\ufffd[]MASK20"


LETTERS = [*string.ascii_lowercase, *string.digits, *string.punctuation, "中", "é", "°", "²"]
PIECES = list(dict.fromkeys([*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), "film", "##ing", "ab"]))


def berts_tokenizer(max_tokens: int = 128, pieces: Sequence[str] = PIECES) -> Any:
    """A tokenizer of BERT's kind, as `tokenizers.Tokenizer`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.enable_truncation(max_length=max_tokens)
    return tokenizer


TOKENIZERS = {limit: berts_tokenizer(limit) for limit in (8, 128)}


@given(st.one_of(st.text(ODD, max_size=30), st.text(max_size=30)), st.integers(0, 99), st.sampled_from([8, 128]))
def test_ids_are_those_of_the_masked_text_wherever_there_are_any(text: str, seed: int, max_tokens: int) -> None:
    tokenizer, spans = TOKENIZERS[max_tokens], word_spans(text)
    tokens_of = masked_tokens(tokenizer, text, spans)
    if tokens_of is not None:
        mask = np.random.default_rng(seed).random(len(spans)) < 0.5
        assert list(tokens_of(mask)) == tokenizer.encode(keep_words(text, spans, mask)).ids


@pytest.mark.parametrize("max_tokens", [8, 128])
def test_usual_texts_need_no_tokenizer(max_tokens: int) -> None:
    text = "It isn't a well-made film — (mostly) filming: 20,000 words, it's Über-long!"
    spans, tokenizer = word_spans(text), TOKENIZERS[max_tokens]
    tokens_of = masked_tokens(tokenizer, text, spans)
    assert tokens_of is not None
    for mask in (np.random.default_rng(seed).random(len(spans)) < 0.6 for seed in range(50)):
        assert list(tokens_of(mask)) == tokenizer.encode(keep_words(text, spans, mask)).ids


@pytest.mark.parametrize("text", ["20°C outside", "a\x0bb c", "see [MASK] here", "°中° it", "\u0301a b", "\u200b"])
def test_where_words_may_run_together_the_tokenizer_is_asked(text: str) -> None:
    assert masked_tokens(TOKENIZERS[128], text, word_spans(text)) is None


def test_another_kind_of_tokenizer_is_asked(tmp_path: Path) -> None:
    predictor = load(torch_bundle(tmp_path), 1)
    assert masked_tokens(predictor.tokenizer, "a film", word_spans("a film")) is None  # type: ignore[attr-defined]


@given(st.lists(st.integers(1, 300), max_size=60))
def test_batches_hold_every_text_once_and_no_more_than_they_may(lengths: list[int]) -> None:
    batches = token_batches(lengths, BATCH_TOKENS)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= BATCH_TOKENS
    assert [lengths[index] for batch in batches for index in batch] == sorted(lengths)


def berts_backbone(folder: Path, n_layers: int) -> Path:
    """`tiny_backbone` with a tokenizer of BERT's kind over the same words."""
    tiny_backbone(folder, n_layers)
    tokenizer = berts_tokenizer(pieces=SPECIAL + FILLER + PRAISE + BLAME)
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_graph_in_memory_answers_as_the_torch_bundle(tmp_path: Path) -> None:
    torch_predictor = load(torch_bundle(tmp_path), 1)
    graph = as_graph(torch_predictor, 1)
    assert isinstance(graph, GraphPredictor)
    texts = ["the film is superb", "dull", "a moving story with dull scenes and music", ""]
    expected = torch_predictor.predict_proba(texts)
    assert np.ptp(expected[:, 1]) > 0.01
    assert graph.predict_proba(texts) == pytest.approx(expected, abs=1e-5)
    assert graph.predict_proba(texts[:1]) == pytest.approx(expected[:1], abs=1e-5)


def test_what_no_graph_can_be_made_of_stays_as_it_is() -> None:
    predictor = LinearWords()
    assert as_graph(predictor, 1) is predictor


class Slow(Predictor):
    """A predictor's answers without its tokenizer, so that every masked text is tokenized."""

    def __init__(self, inner: Predictor) -> None:
        super().__init__(inner.manifest)
        self.inner = inner

    def predict_proba(self, texts: Any) -> Any:
        return self.inner.predict_proba(texts)


def test_attributions_by_token_ids_are_those_by_texts(tmp_path: Path) -> None:
    texts = [
        "The film is superb, a moving story with music",
        "dull scenes and a flat, empty hero of noisy music",
        "dull",
    ]
    path = torch_bundle(tmp_path, backbone=berts_backbone)
    graph = as_graph(load(path, 1), 1)
    fast = attribute(graph, cached_score(graph), texts, 60)
    slow = attribute(Slow(graph), cached_score(Slow(graph)), texts, 60)
    assert any(np.abs(item.values).max() > 1e-3 for item in fast)
    for one, other in zip(fast, slow, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-6)
    eager = load(path, 1)
    for one, other in zip(fast, attribute(eager, cached_score(eager), texts, 60), strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-4)
