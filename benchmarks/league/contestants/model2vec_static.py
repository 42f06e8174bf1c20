"""Static token vectors that model2vec distils from the backbone, with logistic regression on their means.

Source: model2vec, https://github.com/MinishLab/model2vec. Distilling is part of training: it is done once a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from model2vec.distill import distill

from benchmarks.league.interface import Proba, Task, fit_head, save_head


class Fitted:
    """Static vectors and a head."""

    def __init__(self, model: Any, head: Any) -> None:
        self._model, self._head = model, head
        self.notes = {"C": str(head.C)}

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba: Proba = self._head.predict_proba(self._model.encode(list(texts)))
        return proba

    def save(self, folder: Path) -> None:
        """The vectors with their tokenizer, and the head."""
        self._model.save_pretrained(folder)
        save_head(self._head, folder / "head.npz")


def train(task: Task) -> Fitted:
    """The distilled vectors, and the head fitted on them."""
    torch.set_num_threads(task.n_threads)
    model = distill(model_name=str(task.backbone), device="cpu")
    return Fitted(model, fit_head(model.encode(task.texts), task))
