"""Miniature backbones of every family that is supported, random weights behind a tokenizer of the kind it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHAPE: dict[str, Any] = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE: dict[str, Any] = {**SHAPE, "intermediate_size": 64, "max_position_embeddings": 64}
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": WIDE,
    "roberta": WIDE,
    "xlm-roberta": WIDE,
    "distilbert": {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "mpnet": WIDE,
    "electra": {**WIDE, "embedding_size": 16},
    "deberta-v2": {**WIDE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "modernbert": {**WIDE, **MARKS, "global_attn_every_n_layers": 2, "local_attention": 8},
}
"""Model type of `transformers` → its config, where it is small."""
MERGED, SCORED = ("roberta", "modernbert"), ("xlm-roberta", "deberta-v2")
"""Families whose tokenizers are BPE, and Unigram; the others' are WordPiece."""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def family_backbone(folder: Path, family: str, words: Sequence[str]) -> Path:
    """The folder of a backbone of a family, whose tokenizer knows these words."""
    import torch
    from tokenizers import processors
    from transformers import AutoConfig, AutoModel

    tokenizer = _merged(words) if family in MERGED else _scored(words) if family in SCORED else _pieces(words)
    tokenizer.add_special_tokens(SPECIAL)
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    n_layers = {"n_layers": 3} if family == "distilbert" else {"num_hidden_layers": 3}
    sizes = {**FAMILIES[family], **n_layers, "vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 0}
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(family, initializer_range=0.2, **sizes)).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(json.loads(tokenizer.to_str())), encoding="utf-8")
    return folder


def _letters(words: Sequence[str]) -> list[str]:
    return sorted({letter for word in words for letter in word})


def _pieces(words: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = _letters(words)
    known = dict.fromkeys([*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words])
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def _merged(words: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(words)] * 2, trainer)
    return tokenizer


def _scored(words: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    pieces = dict.fromkeys([*SPECIAL, "▁", *(f"▁{word}" for word in words), *_letters(words)])
    scored = [(piece, 0.0 if piece in SPECIAL else -2.0 if len(piece) > 2 else -6.0) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=1, byte_fallback=False))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return tokenizer
