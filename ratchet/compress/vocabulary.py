"""Vocabulary pruning: the tokens a task uses stay, the rows of all others leave the embeddings.

In a small encoder most parameters are token embeddings, and most tokens never occur in one kind of text. A word whose
token went is spelled by the pieces that stayed; every single character stays, so no text becomes less encodable.
Source: Abdaoui, Pradel & Sigel 2020, Load What You Need, https://arxiv.org/abs/2010.05609
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.files import read_json
from ratchet.models.batching import Tokens

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def choose_tokens(tokenizer: dict[str, Any], tokens: Sequence[Tokens], n_tokens: int) -> NDArray[np.int64]:
    """The ids that stay, ascending, about `n_tokens` of them.

    First the special tokens and every single character, at the start of a word and within one; then what the texts
    use, the most frequent first; then the vocabulary's own order, which for WordPiece is roughly by frequency.

    Args:
        tokenizer: the content of a `tokenizer.json` with a WordPiece model.
        tokens: token ids of the task's texts, labelled or not.
        n_tokens: how many stay; fewer than the characters and special tokens there are: exactly these.

    Raises:
        TrainingError: another kind of tokenizer.
    """
    model = tokenizer["model"]
    if model.get("type") != "WordPiece":
        raise TrainingError(
            "Only a WordPiece vocabulary can be pruned.",
            got=model.get("type"),
            expected="WordPiece",
            fix="set prune.n_tokens: 0, which keeps the whole vocabulary",
        )
    special = {int(token["id"]) for token in tokenizer["added_tokens"]} | {int(model["vocab"][model["unk_token"]])}
    prefix = model["continuing_subword_prefix"]
    characters = {index for token, index in model["vocab"].items() if len(token.removeprefix(prefix)) == 1}
    kept = special | characters | ({int(model["vocab"][prefix])} if prefix in model["vocab"] else set())
    counts = Counter(index for text in tokens for index in text)
    used = sorted(counts, key=lambda index: (-counts[index], index))
    placeholders = {index for token, index in model["vocab"].items() if token.startswith("[unused")}
    for index in [*used, *sorted(set(model["vocab"].values()) - placeholders)]:
        if len(kept) >= n_tokens:
            break
        kept.add(index)
    return np.array(sorted(kept), dtype=np.int64)


def prune_tokenizer(tokenizer: dict[str, Any], kept: NDArray[np.int64]) -> dict[str, Any]:
    """The content of `tokenizer.json` with the kept tokens alone, numbered from 0 in their old order."""
    new_id = {int(old): new for new, old in enumerate(kept)}
    pruned = copy.deepcopy(tokenizer)
    vocabulary = tokenizer["model"]["vocab"]
    pruned["model"]["vocab"] = {token: new_id[old] for token, old in vocabulary.items() if old in new_id}
    for token in pruned["added_tokens"]:
        token["id"] = new_id[token["id"]]
    processor = pruned.get("post_processor") or {}
    for token in processor.get("special_tokens", {}).values():  # TemplateProcessing
        token["ids"] = [new_id[index] for index in token["ids"]]
    for end in ("sep", "cls"):  # BertProcessing: [token, id]
        if end in processor:
            processor[end] = [processor[end][0], new_id[processor[end][1]]]
    return pruned


def prune_embeddings(model: Any, kept: NDArray[np.int64], max_tokens: int) -> None:
    """Cut the rows of all other tokens, and of positions no text reaches, out of the embeddings, in place."""
    import torch

    embeddings, config = model.base_model.embeddings, model.config
    rows = torch.from_numpy(kept)
    words, places = embeddings.word_embeddings, embeddings.position_embeddings
    pad = int(np.searchsorted(kept, config.pad_token_id)) if config.pad_token_id is not None else None
    with torch.no_grad():
        embeddings.word_embeddings = _table(words.weight[rows], pad)
        if getattr(config, "model_type", "") == "bert" and max_tokens < places.num_embeddings:
            embeddings.position_embeddings = _table(places.weight[:max_tokens], None)
            for name in ("position_ids", "token_type_ids"):
                buffer = getattr(embeddings, name)
                embeddings.register_buffer(name, buffer[:, :max_tokens].clone(), persistent=False)
            config.max_position_embeddings = max_tokens
    config.vocab_size, config.pad_token_id = len(kept), pad


def write_tokenizer(source: Path, target: Path, kept: NDArray[np.int64]) -> None:
    """Write the pruned tokenizer of the folder `source` into `target`, with the config that other loaders read."""
    pruned = prune_tokenizer(read_json(source / TOKENIZER), kept)
    pruned["truncation"] = pruned["padding"] = None  # predictors set their own
    (target / TOKENIZER).write_text(json.dumps(pruned, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    if (source / TOKENIZER_CONFIG).is_file():
        config = read_json(source / TOKENIZER_CONFIG)
        config.pop("added_tokens_decoder", None)  # old ids; the tokens themselves stand in tokenizer.json
        (target / TOKENIZER_CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def _table(rows: Any, padding_idx: int | None) -> Any:
    """An embedding that owns a copy of the rows."""
    import torch

    table = torch.nn.Embedding(rows.shape[0], rows.shape[1], padding_idx=padding_idx)
    table.weight = torch.nn.Parameter(rows.detach().clone())
    return table
