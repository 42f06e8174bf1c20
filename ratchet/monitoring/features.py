"""Text features of the drift detectors: number of words, tokenizer fertility, and hashed n-grams.

No network is run: a thousand texts take a fraction of a CPU-second, whatever model is deployed. Long texts are looked
at up to `MAX_WORDS`, so that one huge text costs no more than another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import head, tokens

MAX_WORDS = 100
N_HASHED = 4096
N_FOURIER = 256
BANDWIDTH = 1.0
"""Hashed texts have length 1; two that share no n-gram are 1.41 apart."""
SEED = 20_131


@dataclass(frozen=True)
class TextFeatures:
    """Features of n texts; those of different runs are comparable, since nothing is fitted."""

    n_words: NDArray[np.float64]
    """Words between white space, and characters of scripts without it, (n,)."""
    fertility: NDArray[np.float64]
    """Word pieces per word of the first `MAX_WORDS`, (n,); 0 for a text without words. 1: every word is one piece."""
    fourier: NDArray[np.float32]
    """Random Fourier features of the hashed character trigrams, (n, N_FOURIER)."""

    def rows(self, chosen: NDArray[Any]) -> TextFeatures:
        """The features of some rows."""
        return TextFeatures(self.n_words[chosen], self.fertility[chosen], self.fourier[chosen])


def load_pieces(bundle: Path) -> Any | None:
    """The bundle's tokenizer without a limit; None where it has none, as TF-IDF has."""
    from tokenizers import Tokenizer

    path = bundle / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def text_features(texts: Sequence[str], pieces: Any | None) -> TextFeatures:
    """The features of the texts; without a tokenizer, characters per word stand for pieces per word.

    >>> text_features(["two words", ""], None).n_words.tolist()
    [2.0, 0.0]
    """
    n_words = np.array([len(tokens(text)) for text in texts], dtype=np.float64)
    heads = [head(text, MAX_WORDS) for text in texts]
    if pieces is None:
        n_pieces = np.array([len("".join(part.split())) for part in heads], dtype=np.float64)
    else:
        encodings = pieces.encode_batch_fast(heads, add_special_tokens=False)
        n_pieces = np.array([len(encoding.ids) for encoding in encodings], dtype=np.float64)
    fertility = n_pieces / np.maximum(np.minimum(n_words, MAX_WORDS), 1)
    return TextFeatures(n_words, fertility, fourier_features(heads))


def fourier_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Features whose inner products approximate a Gaussian kernel of hashed character trigrams, (n, N_FOURIER).

    Source: Rahimi & Recht 2007, https://papers.nips.cc/paper/3182 (random features); Weinberger et al. 2009,
    https://arxiv.org/abs/0902.2206 (hashing).
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return np.zeros((0, N_FOURIER), dtype=np.float32)
    rng = np.random.default_rng(SEED)
    directions = rng.standard_normal((N_HASHED, N_FOURIER)).astype(np.float32) / np.float32(BANDWIDTH)
    phases = rng.uniform(0, 2 * np.pi, N_FOURIER).astype(np.float32)
    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=N_HASHED, dtype=np.float32).transform(
        texts
    )
    features: NDArray[np.float32] = np.sqrt(np.float32(2 / N_FOURIER)) * np.cos(hashed @ directions + phases)
    return features
