"""Predictions as rows of the table `predictions`: one a text, bundle and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ratchet.models.predictor import Proba

if TYPE_CHECKING:
    import pandas as pd


def prediction_table(bundle: str, split: str, labels: Sequence[str], texts: pd.DataFrame, proba: Proba) -> pd.DataFrame:
    """A row a text: id, label, predicted class, its confidence, and the probability of each class.

    Args:
        bundle: its name.
        split: the name of the texts' side.
        labels: class names by index.
        texts: with `id` and `label`, (n,).
        proba: (n, n_classes).
    """
    import pandas as pd

    table = pd.DataFrame({"id": texts["id"].to_numpy(), "split": split, "bundle": bundle}, dtype="str")
    table["label"] = texts["label"].to_numpy()
    table["predicted"] = pd.Series(np.array(labels, dtype=object)[proba.argmax(axis=1)], dtype="str")
    table["confidence"] = proba.max(axis=1)
    return table.assign(**{f"proba_{label}": proba[:, index] for index, label in enumerate(labels)})
