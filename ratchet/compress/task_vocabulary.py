"""A backbone whose large vocabulary is cut to the texts at hand, before anything is trained.

Of the 250,037 tokens of a multilingual encoder a task uses a few thousand, and the rows of all others are four fifths
of its weights: carried along they would fill every checkpoint, gradient and bundle. What the texts use stays, and so do
special tokens and single characters: a word never seen falls to shorter pieces, at worst to its characters, and what
has no character in the vocabulary is unknown, as before. Texts that chose the pieces are encoded as before.

Source: Abdaoui, Pradel & Sigel 2020, Load What You Need, https://arxiv.org/abs/2010.05609
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.vocabulary import KINDS, TOKENIZER, base_tokens, merged_from, with_parts, write_tokenizer
from ratchet.files import read_json, replace_folder, write_json

LARGE = 60_000
"""Tokens from which a vocabulary is cut before training; smaller ones, as BERT's 30,522, stay whole until `prune`."""
TABLES = ("word_embeddings.weight", "tok_embeddings.weight", "embed_tokens.weight")
"""How the names of token embeddings end in the families of `transformers`."""
CHUNK = 10_000
CONFIG, WEIGHTS, POOLING = "config.json", "model.safetensors", "1_Pooling/config.json"


def task_vocabulary(folder: Path, texts: Sequence[str], out: Path) -> tuple[Path, dict[str, Any]]:
    """The folder to train from, and what became of the vocabulary.

    A vocabulary of fewer than `LARGE` tokens, or of a kind that cannot be cut, stays: the folder is the given one.

    Args:
        folder: a backbone.
        texts: all texts of the task, labelled or not; never those of the test.
        out: where the cut backbone is written; the same texts give the same bytes.

    Returns:
        The report has `n_tokens_before` and `n_tokens`, and of a cut one `n_used` of the texts, `n_base` (special
        tokens and characters) and `unseen_rate`: the Good-Turing estimate of the share of tokens in new texts that
        these texts do not hold, tokens seen once divided by all; NaN without texts. Source: Good 1953, The population
        frequencies of species, https://doi.org/10.1093/biomet/40.3-4.237.
    """
    tokenizer = read_json(folder / TOKENIZER)
    n_before = len(tokenizer["model"].get("vocab", []))
    if n_before < LARGE or tokenizer["model"].get("type") not in KINDS:
        return folder, {"n_tokens_before": n_before, "n_tokens": n_before}
    counts, base = _counts(folder, texts), base_tokens(tokenizer)
    kept = np.array(sorted(with_parts(base | {*counts}, merged_from(tokenizer["model"]))), dtype=np.int64)
    with replace_folder(out) as partial:
        _write_weights(folder, partial, kept)
        write_tokenizer(folder, partial, kept)
        if (folder / POOLING).is_file():
            (partial / POOLING).parent.mkdir()
            shutil.copyfile(folder / POOLING, partial / POOLING)
    once, total = sum(n == 1 for n in counts.values()), counts.total()
    return out, {
        "n_tokens_before": n_before,
        "n_tokens": len(kept),
        "n_used": len(counts),
        "n_base": len(base),
        "unseen_rate": once / total if total else float("nan"),
    }


def agreement(whole: Path, cut: Path, texts: Sequence[str]) -> dict[str, float]:
    """How the cut tokenizer encodes texts that did not choose its pieces: `equal_rate`, the share of texts with the
    same tokens, and `length_ratio`, its tokens divided by those of the whole one; NaN without texts."""
    before, after = (
        [encoding.tokens for encoding in _tokenizer(folder).encode_batch(list(texts))] for folder in (whole, cut)
    )
    n_before, n_after = (sum(map(len, tokens)) for tokens in (before, after))
    n_equal = sum(one == other for one, other in zip(before, after, strict=True))
    return {
        "equal_rate": n_equal / len(texts) if texts else float("nan"),
        "length_ratio": n_after / n_before if n_before else float("nan"),
    }


def _counts(folder: Path, texts: Sequence[str]) -> Counter[int]:
    """How often the texts use each token, special ones of the template left out."""
    tokenizer, counts = _tokenizer(folder), Counter[int]()
    for start in range(0, len(texts), CHUNK):
        for encoding in tokenizer.encode_batch_fast(list(texts[start : start + CHUNK]), add_special_tokens=False):
            counts.update(encoding.ids)
    return counts


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _write_weights(folder: Path, target: Path, kept: NDArray[np.int64]) -> None:
    """The weights with the rows of kept tokens alone, and the config that fits them.

    Heads over the whole vocabulary, left from pretraining, are left out: no classifier loads them.
    """
    from safetensors.numpy import load_file, save_file

    config, tensors = read_json(folder / CONFIG), load_file(folder / WEIGHTS)
    n_rows = next(len(tensor) for name, tensor in tensors.items() if name.endswith(TABLES))
    cut = {}
    for name, tensor in tensors.items():
        if name.endswith(TABLES):
            cut[name] = tensor[kept]
        elif len(tensor) != n_rows:
            cut[name] = tensor
    save_file(cut, target / WEIGHTS, {"format": "pt"})
    new_id = {int(old): new for new, old in enumerate(kept)}
    ids = {key: new_id[config[key]] for key in config if key.endswith("_token_id") and config[key] in new_id}
    write_json(target / CONFIG, {**config, **ids, "vocab_size": len(kept)})
