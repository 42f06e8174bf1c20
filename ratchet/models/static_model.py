"""The static classifier: class scores of tokens and of pairs of neighbouring tokens, looked up and averaged.

The logits of a text of n tokens are bias + (Σ scores of its tokens + Σ scores of its pairs) ÷ n. There are no layers:
a static embedding under a linear head is one table of class scores, (n_tokens, n_classes), once the two are multiplied.

Source: Joulin et al. 2017, Bag of tricks, https://aclanthology.org/E17-2068; Tulkens & van Dongen 2024, Model2Vec,
https://github.com/MinishLab/model2vec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import BundleError
from ratchet.models.batching import Tokens

WEIGHTS = "weights.safetensors"
PACKAGES = ("numpy", "safetensors", "tokenizers")
"""By which such a bundle is made and read; its manifest keeps their versions."""
CHUNK_TOKENS = 20_000
"""Tokens whose scores are gathered at once."""

Scores = NDArray[np.float32]
Keys = NDArray[np.int64]


@dataclass(frozen=True)
class StaticModel:
    """The tables of a static classifier."""

    tokens: Scores
    """Class scores of each token, (n_tokens, n_classes)."""
    keys: Keys
    """The known pairs, ascending, (n_pairs,): see `pair_keys`."""
    pairs: Scores
    """Their class scores and a row of zeros for unknown pairs, (n_pairs + 1, n_classes)."""
    bias: Scores
    """(n_classes,)."""

    def logits(self, texts: Sequence[Tokens]) -> Scores:
        """Logits, (n_texts, n_classes); a text without tokens has the bias alone."""
        logits = np.tile(self.bias, (len(texts), 1))
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        filled = np.flatnonzero(lengths)
        ends = np.cumsum(lengths[filled])
        for part in np.split(filled, np.searchsorted(ends, np.arange(CHUNK_TOKENS, _last(ends), CHUNK_TOKENS))):
            if len(part):
                logits[part] += self._means([texts[index] for index in part], lengths[part])
        return logits

    def logits_of_one(self, ids: Tokens) -> Scores:
        """As `logits` of one text, (n_classes,), without the work that pays only in batches."""
        if not ids:
            return self.bias
        array = np.array(ids)
        total: Scores = self.tokens[array].sum(axis=0)
        if len(ids) > 1:
            total += self.pairs[self._rows(pair_keys(array, len(self.tokens)))].sum(axis=0)
        scores: Scores = (self.bias + total / len(ids)).astype(np.float32)
        return scores

    def divided(self, temperature: float) -> StaticModel:
        """The same with logits divided by a temperature."""
        parts = (self.tokens, self.pairs, self.bias)
        tokens, pairs, bias = ((part / temperature).astype(np.float32) for part in parts)
        return StaticModel(tokens, self.keys, pairs, bias)

    def _means(self, texts: Sequence[Tokens], lengths: NDArray[np.int64]) -> Scores:
        """(Σ scores of tokens + Σ scores of pairs) ÷ n of texts with tokens, (n_texts, n_classes)."""
        flat = np.concatenate(texts)  # (tokens of all texts,)
        ends = np.cumsum(lengths)
        rows = np.full(len(flat), len(self.keys))  # that of zeros
        rows[:-1] = self._rows(pair_keys(flat, len(self.tokens)))
        rows[ends - 1] = len(self.keys)  # the last token of a text and the first of the next are no pair
        scores = self.tokens[flat]
        known = rows < len(self.keys)
        scores[known] += self.pairs[rows[known]]
        sums: Scores = np.add.reduceat(scores, ends - lengths, axis=0)
        means: Scores = (sums / lengths[:, None]).astype(np.float32)
        return means

    def _rows(self, keys: Keys) -> NDArray[np.int64]:
        """The row of each pair in `pairs`."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.int64)
        rows = np.searchsorted(self.keys, keys)
        rows[rows == len(self.keys)] = 0
        rows[self.keys[rows] != keys] = len(self.keys)
        return rows


def pair_keys(ids: NDArray[np.int64], n_tokens: int) -> Keys:
    """One number for each two neighbours, (n_ids − 1,).

    >>> pair_keys(np.array([2, 0, 1]), n_tokens=10).tolist()
    [20, 1]
    """
    keys: Keys = ids[:-1] * np.int64(n_tokens) + ids[1:]
    return keys


def save_static(model: StaticModel, folder: Path) -> None:
    """The tables in 16-bit floats; those that are read again are these, so a report should be made with them."""
    from safetensors.numpy import save_file

    halves = {name: getattr(model, name).astype(np.float16) for name in ("tokens", "pairs", "bias")}
    save_file({**halves, "keys": model.keys}, folder / WEIGHTS)


def load_static(folder: Path) -> StaticModel:
    """What `save_static` stored.

    Raises:
        BundleError: the tables do not fit together.
    """
    from safetensors.numpy import load_file

    tables = load_file(folder / WEIGHTS)
    tokens, pairs, bias = (tables[name].astype(np.float32) for name in ("tokens", "pairs", "bias"))
    keys = tables["keys"]
    if len(pairs) != len(keys) + 1 or {tokens.shape[1], pairs.shape[1]} != {len(bias)}:
        raise BundleError(
            "The tables of a static classifier do not fit together.",
            where=folder / WEIGHTS,
            got=f"tokens {tokens.shape}, pairs {pairs.shape}, {len(keys)} keys, bias {bias.shape}",
            expected="one row more of pairs than keys, and as many columns as classes",
            fix="make the bundle again",
        )
    return StaticModel(tokens, keys, pairs, bias)


def _last(ends: NDArray[np.int64]) -> int:
    return int(ends[-1]) if len(ends) else 0
