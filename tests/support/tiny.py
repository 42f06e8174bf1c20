"""A miniature backbone with a tokenizer of its own, and texts whose class a few words give away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PRAISE = ["superb", "moving", "funny", "bright", "tender", "gripping"]
BLAME = ["dull", "clumsy", "boring", "flat", "noisy", "empty"]
FILLER = ["the", "film", "is", "a", "story", "with", "scenes", "and", "music", "of", "its", "hero"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tiny_backbone(folder: Path, n_layers: int = 3) -> Path:
    """A BERT of random weights: `n_layers` layers of width 32, four heads, 64 feed-forward channels."""
    return _saved(folder, _of_words(), n_layers)


def backbone_of(folder: Path, words: Sequence[str], n_layers: int = 3) -> Path:
    """As `tiny_backbone`, for a task's own words; characters of scripts without spaces are words too."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    known = dict.fromkeys([*SPECIAL, *words])
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(known)}, unk_token="[UNK]"))
    split = pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")
    return _saved(folder, tokenizer, n_layers, pre_tokenizers.Sequence([split, pre_tokenizers.Whitespace()]))


def wide_backbone(folder: Path, n_layers: int = 3) -> Path:
    """As `tiny_backbone`, twice as wide: its matrices can be NF4."""
    return _saved(folder, _of_words(), n_layers, width=64)


def word_pieces(folder: Path, n_layers: int = 3) -> Path:
    """As `tiny_backbone`, but its tokenizer spells what it does not know, as BERT's does."""
    import string

    from tokenizers import Tokenizer, models

    letters = [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
    words = list(dict.fromkeys(SPECIAL + letters + FILLER + PRAISE + BLAME + ["##ing", "##ed", "story"]))
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    return _saved(folder, tokenizer, n_layers)


def _of_words() -> Any:
    """A tokenizer that knows whole words alone."""
    from tokenizers import Tokenizer, models

    words = SPECIAL + FILLER + PRAISE + BLAME
    return Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))


def _saved(folder: Path, tokenizer: Any, n_layers: int, pre_tokenizer: Any = None, width: int = 32) -> Path:
    """The folder, with the tokenizer and a BERT of random weights for its words."""
    import torch
    from tokenizers import normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def reviews(n: int, seed: int) -> pd.DataFrame:
    """`n` labelled texts, half of each class, as rows of a split table."""
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        label = "positive" if index % 2 else "negative"
        words = [*rng.choice(FILLER, rng.integers(3, 9)), *rng.choice(PRAISE if index % 2 else BLAME, 2)]
        rows.append((index, f"{seed:08x}{index:08x}", " ".join(rng.permutation(words)), label, "made"))
    frame = pd.DataFrame(rows, columns=["row", "id", "text", "label", "source"])
    return frame.assign(group=frame["id"])


FIT = {
    "n_epochs": 3,
    "min_steps": 0,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "head_rate": 1.0,
    "weight_decay": 0.01,
    "warmup_rate": 0.1,
    "patience": 3,
    "train_embeddings": True,
    "precision": "32-true",
    "n_threads": 1,
    "seed": 5,
    "micro_batch_tokens": 0,
    "compile_model": False,
    "strategy": "single",
    "n_devices": 1,
}
"""Values for the fields of `FitParams` that train the miniature in a second."""

TUNING = {
    **FIT,
    "max_tokens": 32,
    "lora_rank": 4,
    "lora_targets": ["all-linear"],
    "rank_stabilized": False,
    "adapter_size": 4,
}
"""Values for the fields of `TuningParams`."""

ACCURACY = {"labels": ["negative", "positive"], "primary_metric": "accuracy", "rare_class": "", "cost_matrix": []}
"""Values for the fields of `PrimaryMetricParams`."""
