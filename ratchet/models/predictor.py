"""The predictor interface of every model: texts in, probabilities out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import Tokens, encode, load_tokenizer, pad, sorted_batches
from ratchet.models.bundle import Manifest

Proba = NDArray[np.float64]


class Predictor(ABC):
    """A loaded bundle."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probability columns."""
        return self.manifest.labels

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return False

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Class probabilities, (n_texts, n_classes), rows summing to 1; no texts give (0, n_classes)."""

    def branches(self, texts: Sequence[str]) -> list[Predictor]:
        """Which predictor answers each text: this one, but where it is composed of others."""
        return [self] * len(texts)


class TokenPredictor(Predictor):
    """Base class of the transformer engines: tokenising, sorting by length, padding, softmax."""

    def __init__(self, manifest: Manifest, path: Path, batch_size: int) -> None:
        super().__init__(manifest)
        self._batch_size = batch_size
        self._tokenizer = load_tokenizer(path, manifest.max_tokens)

    @property
    def tokenizer(self) -> Any:
        """The bundle's `tokenizers.Tokenizer`."""
        return self._tokenizer

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Token ids of each text, as the model sees them."""
        return encode(self._tokenizer, texts)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        if len(texts) == 1:
            return self._predict_one(texts[0])
        return self.predict_proba_tokens(self.encode(texts))

    def _predict_one(self, text: str) -> Proba:
        """As `predict_proba` of one text, without the work that pays only in batches."""
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        return softmax(self._logits(ids, np.ones_like(ids)))

    def predict_proba_tokens(self, tokens: Sequence[Tokens]) -> Proba:
        """As `predict_proba`, from token ids."""
        proba = np.zeros((len(tokens), len(self.labels)))
        for batch in sorted_batches([len(item) for item in tokens], self._batch_size):
            proba[batch] = softmax(self._logits(*pad([tokens[index] for index in batch])))
        return proba

    @abstractmethod
    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(batch, tokens) twice → (batch, n_classes)."""


def softmax(logits: NDArray[Any]) -> Proba:
    """Probabilities of logits over the last axis, computed in float64 without overflow.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    proba: Proba = exponent / exponent.sum(axis=-1, keepdims=True)
    return proba
