"""Vocabulary pruning: the tokens a task uses stay, the rows of all others leave the embeddings.

In a small encoder most parameters are token embeddings, and most tokens never occur in one kind of text. A word whose
token went is spelled by the pieces that stayed; every single character stays, so no text becomes less encodable. Of
byte pair encoding (BPE), which builds a token by merging two others, these stay with it, so that texts that chose the
tokens are encoded as before.
Source: Abdaoui, Pradel & Sigel 2020, Load What You Need, https://arxiv.org/abs/2010.05609
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.files import read_json
from ratchet.models.batching import Tokens, encode, load_tokenizer
from ratchet.models.checkpoint import copy_tokenizer

KINDS = ("WordPiece", "Unigram", "BPE")
"""Kinds of vocabulary that can be cut."""
BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A byte as a token, by which BPE spells what it has no character for."""
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


def choose_tokens(tokenizer: dict[str, Any], tokens: Sequence[Tokens], n_tokens: int) -> NDArray[np.int64]:
    """The ids that stay, ascending, about `n_tokens` of them.

    First the special tokens and every single character, at the start of a word and within one; then what the texts
    use, the most frequent first; then the vocabulary's own order, which is roughly by frequency.

    Args:
        tokenizer: the content of a `tokenizer.json` with a model of one of `KINDS`.
        tokens: token ids of the task's texts, labelled or not.
        n_tokens: how many stay; fewer than the characters and special tokens there are: exactly these.

    Raises:
        TrainingError: another kind of tokenizer.
    """
    kept, pieces, parents = base_tokens(tokenizer), _pieces(tokenizer["model"]), merged_from(tokenizer["model"])
    counts = Counter(index for text in tokens for index in text)
    used = sorted(counts, key=lambda index: (-counts[index], index))
    rest = sorted(index for token, index in pieces.items() if not token.startswith("[unused"))
    for index in [*used, *rest]:
        if len(kept) >= n_tokens:
            break
        kept |= with_parts([index], parents)
    return np.array(sorted(kept), dtype=np.int64)


def base_tokens(tokenizer: dict[str, Any]) -> set[int]:
    """The ids without which some text could not be encoded, or no text could: special tokens, those that the template
    adds to every text, and single characters.

    Raises:
        TrainingError: another kind of tokenizer.
    """
    model = tokenizer["model"]
    pieces = _pieces(model)
    unknown = model["unk_id"] if model["type"] == "Unigram" else pieces.get(model["unk_token"])
    special = {int(token["id"]) for token in tokenizer["added_tokens"]}
    special |= set() if unknown is None else {int(unknown)}
    template = {index for ids in _template_ids(tokenizer.get("post_processor")) for index in ids}
    prefix, suffix = (model.get(f"{name}") or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
    stems = {token: token.removeprefix(prefix).removesuffix(suffix) or token for token in pieces}
    characters = {index for token, index in pieces.items() if len(stems[token]) == 1 or BYTE.fullmatch(token)}
    return special | template | characters | ({pieces[prefix]} if prefix in pieces else set())


def merged_from(model: dict[str, Any]) -> dict[int, set[int]]:
    """Token of BPE → the two that are merged into it, of every merge that makes it; empty of other kinds."""
    pieces, found = _pieces(model), dict[int, set[int]]()
    for left, right, whole in _merges(model):
        found.setdefault(pieces[whole], set()).update((pieces[left], pieces[right]))
    return found


def with_parts(tokens: Iterable[int], parents: Mapping[int, set[int]]) -> set[int]:
    """The tokens, those that they are merged from (`merged_from`), and so on.

    >>> sorted(with_parts([5], {5: {1, 4}, 4: {2, 3}, 6: {0}}))
    [1, 2, 3, 4, 5]
    """
    found: set[int] = set()
    waiting = [*tokens]
    while waiting:
        if (token := waiting.pop()) not in found:
            found.add(token)
            waiting += parents.get(token, ())
    return found


def _merges(model: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Of each merge of BPE: left, right, and what they become; older files write left and right in one string."""
    prefix = model.get("continuing_subword_prefix") or ""
    for merge in model.get("merges") or ():
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        yield left, right, left + right.removeprefix(prefix)


def _pieces(model: dict[str, Any]) -> dict[str, int]:
    """Token → its id: WordPiece and BPE have it so, Unigram has a list of tokens with their scores.

    Raises:
        TrainingError: another kind of vocabulary.
    """
    if model.get("type") in ("WordPiece", "BPE"):
        return {token: int(index) for token, index in model["vocab"].items()}
    if model.get("type") == "Unigram" and model.get("unk_id") is not None and not model.get("byte_fallback"):
        return {token: index for index, (token, _) in enumerate(model["vocab"])}
    raise TrainingError(
        "A vocabulary of this kind cannot be pruned.",
        got=model.get("type"),
        expected=f"{', '.join(KINDS)}; of Unigram with a token for what is unknown, not with bytes",
        fix="set prune.n_tokens: 0, which keeps the whole vocabulary",
    )


def _template_ids(processor: dict[str, Any] | None) -> list[list[int]]:
    """The lists of ids that a post-processor holds, themselves and no copies: special tokens, and a prompt if any."""
    if processor is None:
        return []
    inner = [ids for item in processor.get("processors", []) for ids in _template_ids(item)]  # Sequence
    return [*inner, *(token["ids"] for token in processor.get("special_tokens", {}).values())]  # TemplateProcessing


def prune_tokenizer(tokenizer: dict[str, Any], kept: NDArray[np.int64]) -> dict[str, Any]:
    """The content of `tokenizer.json` with the kept tokens alone, numbered from 0 in their old order."""
    new_id = {int(old): new for new, old in enumerate(kept)}
    vocabulary = tokenizer["model"]["vocab"]
    pruned = copy.deepcopy({**tokenizer, "model": {**tokenizer["model"], "vocab": None}})
    if isinstance(vocabulary, dict):
        pruned["model"]["vocab"] = {token: new_id[old] for token, old in vocabulary.items() if old in new_id}
        if pruned["model"].get("merges"):
            known = {*pruned["model"]["vocab"]}
            told = zip(pruned["model"]["merges"], _merges(pruned["model"]), strict=True)
            pruned["model"]["merges"] = [merge for merge, tokens in told if known.issuperset(tokens)]
    else:
        pruned["model"]["vocab"] = [vocabulary[old] for old in kept.tolist() if old < len(vocabulary)]
        pruned["model"]["unk_id"] = new_id[tokenizer["model"]["unk_id"]]
    for token in pruned["added_tokens"]:
        token["id"] = new_id[token["id"]]
    processor = pruned.get("post_processor") or {}
    for ids in _template_ids(processor):
        ids[:] = [new_id[index] for index in ids]
    for end in ("sep", "cls"):  # BertProcessing, RobertaProcessing: [token, id]
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


def tokens_to_keep(source: Path, n_tokens: int) -> int:
    """`n_tokens`; 0, the whole vocabulary, where the tokenizer of `source` has no more, or cannot be cut."""
    model = read_json(source / TOKENIZER)["model"]
    return n_tokens if model.get("type") in KINDS and len(model.get("vocab", [])) > n_tokens else 0


def cut_vocabulary(model: Any, source: Path, target: Path, texts: Sequence[str], max_tokens: int, n_tokens: int) -> int:
    """Cut the model's embeddings in place, and write the tokenizer that fits them into `target`; the tokens that stay.

    Args:
        model: a classifier.
        source: the folder of its tokenizer.
        target: a folder.
        texts: the task's texts, labelled or not, never those of the test.
        max_tokens: tokens at which they are cut, and positions that stay.
        n_tokens: see `choose_tokens`; 0: the whole vocabulary stays.
    """
    if not n_tokens:
        copy_tokenizer(source, target)
        return int(model.config.vocab_size)
    used = encode(load_tokenizer(source, max_tokens), texts)
    kept = choose_tokens(read_json(source / TOKENIZER), used, n_tokens)
    prune_embeddings(model, kept, max_tokens)
    write_tokenizer(source, target, kept)
    print(f"{len(kept):,} tokens stay", flush=True)
    return len(kept)


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
