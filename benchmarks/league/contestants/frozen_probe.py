"""Logistic regression on the frozen backbone's mean-pooled, normalised embeddings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from benchmarks.league.interface import Proba, Task, fit_head, save_head


class Probe:
    """The backbone with a head of its own."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.n_threads)
        self._folder, self._max_tokens = task.backbone, task.max_tokens
        self._tokenizer = AutoTokenizer.from_pretrained(task.backbone, local_files_only=True)
        self._encoder = AutoModel.from_pretrained(task.backbone, local_files_only=True).eval()
        self._head = fit_head(self.embed(task.texts), task)
        self.notes = {"C": str(self._head.C)}

    def embed(self, texts: Sequence[str], batch_size: int = 32) -> NDArray[Any]:
        """Embeddings of unit length, (n_texts, hidden); texts of similar length share a batch."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        found = np.empty((len(texts), self._encoder.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            inputs = self._tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = self._encoder(**inputs).last_hidden_state  # (batch, tokens, hidden)
            mask = inputs["attention_mask"][..., None].float()  # (batch, tokens, 1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            found[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return found

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba: Proba = self._head.predict_proba(self.embed(texts))
        return proba

    def save(self, folder: Path) -> None:
        """The backbone, its tokenizer and the head."""
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            shutil.copy(self._folder / name, folder / name)
        save_head(self._head, folder / "head.npz")


def train(task: Task) -> Probe:
    """The fitted probe."""
    return Probe(task)
