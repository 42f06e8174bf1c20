"""Training examples: token ids with hard labels, soft labels, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.models.batching import Tokens

UNKNOWN = -1
"""The hard label of a text that nobody has labelled."""


@dataclass(frozen=True)
class Examples:
    """Texts to learn from, all sequences n_texts long."""

    tokens: list[Tokens]
    hard: NDArray[np.int64]
    """Class indices, (n_texts,); UNKNOWN where there is none."""
    soft: NDArray[np.float32] | None = None
    """A teacher's logits, (n_texts, n_classes)."""
    weight: NDArray[np.float32] | None = None
    """Weight of each text's training loss, (n_texts,), 1 on average; None: equal weights."""

    def __len__(self) -> int:
        return len(self.tokens)


def logit_columns(labels: Sequence[str]) -> list[str]:
    """The columns of a table of soft labels that hold a teacher's logits.

    >>> logit_columns(["late", "lost"])
    ['logit_late', 'logit_lost']
    """
    return [f"logit_{label}" for label in labels]


def soft_labels(frame: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.float32]:
    """A teacher's logits, (n_rows, n_classes), from their columns."""
    logits: NDArray[np.float32] = frame[logit_columns(labels)].to_numpy("float32")
    return logits


def reason_of_one_class(logits: NDArray[np.float32], labels: Sequence[str]) -> str:
    """Why nothing can be taught by a teacher's logits, (n_rows, n_classes), that all predict one class; empty where
    they predict several.

    >>> reason_of_one_class(np.array([[2.0, 1.0], [3.0, 0.0]], dtype=np.float32), ["late", "lost"])
    "the teacher's soft labels have a single class: late"
    """
    found = np.unique(logits.argmax(axis=1))
    if len(found) > 1:
        return ""
    return "the teacher's soft labels have a single class: " + "".join(labels[k] for k in found)


def class_names(frame: pd.DataFrame) -> list[str]:
    """The classes of a table, in alphabetical order: the order of every probability column."""
    return sorted(frame["label"].dropna().unique())


def check_labels(frame: pd.DataFrame, labels: Sequence[str]) -> None:
    """Check that each class has a labelled text to learn from.

    Raises:
        TrainingError: there are fewer than two classes, or one of `labels` has no row.
    """
    found = frame["label"].value_counts()
    counts = {name: int(found.get(name, 0)) for name in labels}
    if len(labels) < 2 or min(counts.values()) == 0:
        raise TrainingError(
            "A classifier needs labels of at least two classes, and of every class it is measured on.",
            got=", ".join(f"{name}: {n}" for name, n in counts.items()) or "no class",
            expected="at least one label of each class among the training texts",
            fix="raise sample.n_initial or sample.budget, or label texts of the class that lacks them",
        )


def class_indices(frame: pd.DataFrame, labels: Sequence[str]) -> NDArray[np.int64]:
    """The index of each row's label, (n_rows,); UNKNOWN where the label is missing.

    Raises:
        TrainingError: a label is none of `labels`.
    """
    names = frame["label"]
    if strangers := sorted(set(names.dropna()) - set(labels)):
        raise TrainingError(
            "A label is none of the classes the model knows.",
            got=", ".join(strangers),
            expected=", ".join(labels),
            fix="label at least one validation text of each class, or correct the label",
        )
    order = {name: index for index, name in enumerate(labels)}
    return np.array([order.get(name, UNKNOWN) for name in names], dtype=np.int64)
