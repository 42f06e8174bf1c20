"""Texts to padded batches: tokenised once, sorted or bucketed by length so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import BundleError

Tokens = list[int]


def load_tokenizer(folder: Path, max_tokens: int) -> Any:
    """The folder's `tokenizer.json` as a `tokenizers.Tokenizer` that truncates to `max_tokens` and never pads."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise BundleError(
            "The tokenizer is missing.",
            where=path,
            fix="use a backbone that ships tokenizer.json, or save one with tokenizers.Tokenizer.save",
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(max_length=max_tokens)
    tokenizer.no_padding()
    return tokenizer


def encode(tokenizer: Any, texts: Sequence[str]) -> list[Tokens]:
    """Token ids of each text, special tokens included, truncated to the tokenizer's limit."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]


def padding_id(tokenizer: Any) -> int:
    """The id of the token that stands for nothing: [PAD], as BERT and its kin have it, or <pad>; else 0."""
    found = [tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>")]
    return next((index for index in found if index is not None), 0)


def pad(tokens: Sequence[Tokens], pad_id: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and attention mask, padded to the longest of the batch: both (batch, longest).

    >>> pad([[5], [6, 7]])[1].tolist()
    [[1, 0], [1, 1]]
    """
    longest = max(map(len, tokens))
    ids = np.full((len(tokens), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(tokens), longest), dtype=np.int64)
    for row, item in enumerate(tokens):
        ids[row, : len(item)] = item
        mask[row, : len(item)] = 1
    return ids, mask


def sorted_batches(lengths: Sequence[int], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Indices in batches of similar length, every index once; the order in which inference wants them."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def bucketed_batches(
    lengths: Sequence[int], batch_size: int, rng: np.random.Generator, n_pool: int = 32
) -> list[NDArray[np.int64]]:
    """Shuffled batches of similar length, every index once: pools of `n_pool` batches are sorted, then mixed.

    Source: bucketing as in Ott et al. 2019, fairseq (https://arxiv.org/abs/1904.01038).
    """
    sizes = np.asarray(lengths)
    shuffled = rng.permutation(len(sizes))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(shuffled), batch_size * n_pool):
        pool = shuffled[start : start + batch_size * n_pool]
        pool = pool[np.argsort(sizes[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def paired_batches(targets: Sequence[int], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Shuffled batches of pairs of one class, every index once at least; a text alone in its class comes alone.

    Of an odd class one text comes twice. Pairs of different classes arise within a batch.

    >>> batches = paired_batches([0, 0, 1, 1, 1], 4, np.random.default_rng(1))
    >>> sorted(np.concatenate(batches).tolist())[:2], {len(batch) % 2 for batch in batches}
    ([0, 1], {0})
    """
    classes, units = np.asarray(targets), list[NDArray[np.int64]]()
    for target in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == target))
        if len(members) % 2 and len(members) > 1:
            members = np.append(members, rng.choice(members[:-1]))
        units += [members[at : at + 2] for at in range(0, len(members), 2)]
    units = [units[at] for at in rng.permutation(len(units))]
    n = max(1, batch_size // 2)
    return [np.concatenate(units[at : at + n]) for at in range(0, len(units), n)]
