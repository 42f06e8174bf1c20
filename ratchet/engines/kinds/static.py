"""The static classifier in NumPy, as the stage `simplify` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ratchet.models.bundle import Manifest
from ratchet.models.linear_text import LinearPredictor, LinearText, static_text
from ratchet.models.predictor import Predictor, Proba, softmax
from ratchet.models.static_model import load_static
from ratchet.models.word_tokens import WordTokens


def load(path: Path, manifest: Manifest, _n_threads: int, _batch_size: int) -> Predictor:
    """The verified bundle at `path` as a predictor; it runs on one thread, and takes any number of texts at once."""
    return StaticPredictor(manifest, path)


class StaticPredictor(LinearPredictor):
    """Looks up the class scores of a text's tokens and pairs of tokens; see `ratchet.models.static_model`."""

    def __init__(self, manifest: Manifest, path: Path) -> None:
        super().__init__(manifest)
        self._words = WordTokens(path)
        self._model = load_static(path)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        if len(texts) == 1:
            return softmax(self._model.logits_of_one(self._words.encode(texts)[0])[None])
        if not texts:
            return np.zeros((0, len(self.labels)))
        return softmax(self._model.logits(self._words.encode(texts)))

    def linear(self, text: str) -> LinearText | None:
        return static_text(self._model, self._words, text)
