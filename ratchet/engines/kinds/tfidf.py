"""TF-IDF with logistic regression, as the stage `baseline` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ratchet.models.bundle import Manifest
from ratchet.models.linear_text import LinearPredictor, LinearText, tfidf_text
from ratchet.models.predictor import Predictor, Proba


def load(path: Path, manifest: Manifest, _n_threads: int, _batch_size: int) -> Predictor:
    """The verified bundle at `path` as a predictor; it runs on one thread, and takes any number of texts at once."""
    return TfidfPredictor(manifest, path)


class TfidfPredictor(LinearPredictor):
    """TF-IDF with logistic regression, rebuilt from JSON and safetensors."""

    def __init__(self, manifest: Manifest, path: Path) -> None:
        super().__init__(manifest)
        from ratchet.models.tfidf import load_pipeline

        self._pipeline = load_pipeline(path)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        if not texts:
            return np.zeros((0, len(self.labels)))
        proba: Proba = self._pipeline.predict_proba(list(texts))
        return proba

    def linear(self, text: str) -> LinearText | None:
        return tfidf_text(self._pipeline, text)
