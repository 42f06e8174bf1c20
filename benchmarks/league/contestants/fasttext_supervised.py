"""fastText's supervised classifier on words and pairs of words.

Source: Joulin et al. 2017, Bag of tricks for efficient text classification, https://aclanthology.org/E17-2068.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fasttext
import numpy as np

from benchmarks.league.interface import Proba, Task

LABEL = "__label__"


class Fitted:
    """A fitted fastText model."""

    def __init__(self, model: Any, n_classes: int) -> None:
        self._model, self._n_classes = model, n_classes

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba = np.zeros((len(texts), self._n_classes))
        names, values = self._model.predict([one_line(text) for text in texts], k=self._n_classes)
        for row, (labels, scores) in enumerate(zip(names, values, strict=True)):
            proba[row, [int(label.removeprefix(LABEL)) for label in labels]] = scores
        return proba

    def save(self, folder: Path) -> None:
        """fastText's own file."""
        self._model.save_model(str(folder / "model.bin"))


def train(task: Task) -> Fitted:
    """As fastText's tutorial trains, with a tenth of its default hash buckets; one thread, so that it repeats."""
    path = task.scratch / "train.txt"
    lines = [f"{LABEL}{target} {one_line(text)}" for text, target in zip(task.texts, task.targets, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(
        str(path), lr=0.5, epoch=25, wordNgrams=2, bucket=200_000, minCount=1, thread=1, verbose=0
    )
    return Fitted(model, task.n_classes)


def one_line(text: str) -> str:
    """The text in lower case on one line, as fastText reads it."""
    return " ".join(text.lower().split())
