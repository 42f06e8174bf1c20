"""small-text's transformer classifier with its defaults, on all labels of the draw: its strategies choose nothing here.

Source: Schröder et al. 2023, Small-Text: Active learning for text classification, https://aclanthology.org/2023.eacl-demo.11.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from small_text import TransformerBasedClassification, TransformerModelArguments, TransformersDataset
from transformers import AutoTokenizer

from benchmarks.league.interface import Proba, Task


class Fitted:
    """The classifier and the tokenizer of its data sets."""

    def __init__(self, classifier: Any, tokenizer: Any, task: Task) -> None:
        self._classifier, self._tokenizer, self._task = classifier, tokenizer, task

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        unknown = [0] * len(texts)  # labels that nothing reads
        return np.asarray(self._classifier.predict_proba(dataset(texts, unknown, self._tokenizer, self._task)))

    def save(self, folder: Path) -> None:
        """The model and its tokenizer as transformers saves them."""
        self._classifier.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)


def train(task: Task) -> Fitted:
    """Ten epochs at 2e-5 in batches of 12, the best by a tenth of the labels kept: small-text's defaults."""
    torch.set_num_threads(task.n_threads)
    torch.manual_seed(task.seed)
    tokenizer = AutoTokenizer.from_pretrained(task.backbone, local_files_only=True)
    classifier = TransformerBasedClassification(
        TransformerModelArguments(str(task.backbone)), task.n_classes, device="cpu", cache_dir=str(task.scratch)
    )
    classifier.fit(dataset(task.texts, task.targets, tokenizer, task))
    return Fitted(classifier, tokenizer, task)


def dataset(texts: Sequence[str], targets: Sequence[int], tokenizer: Any, task: Task) -> Any:
    """Texts as small-text's tensors, cut to the task's tokens."""
    return TransformersDataset.from_arrays(
        list(texts),
        np.array(targets),
        tokenizer,
        target_labels=np.arange(task.n_classes),
        max_length=task.max_tokens,
    )
