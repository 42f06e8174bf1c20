"""Hashes by which the manifests of bundles name the data that they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ratchet.files import sha256_json

if TYPE_CHECKING:
    import pandas as pd


def known_data(labeled: pd.DataFrame, taught: Sequence[pd.Series]) -> list[str]:
    """Hashes by which manifests name training data: of the labelled texts, and of texts labelled by what learned them.

    Args:
        labeled: the labelled texts, with id and label.
        taught: ids of texts that a teacher labelled for its students, a table each.
    """
    of_labels = sha256_json(labeled[["id", "label"]].to_numpy())
    return [of_labels, *(taught_data(of_labels, ids) for ids in taught)]


def taught_data(of_teacher: str, ids: pd.Series) -> str:
    """Hash by which a student names its training data: its teacher's, and the ids of the texts that it labelled."""
    return sha256_json([of_teacher, ids])
