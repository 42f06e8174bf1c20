"""Explanations as shap's own object, and as two Parquet tables a bundle: its texts, and their words with SHAP values.

What `read_explanation` returns goes into shap's plots; the tables are read by anything that reads Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ratchet.table_files import read_table, write_table
from ratchet.tables import EXPLAINED_TEXTS, EXPLAINED_WORDS
from ratchet.trust.attributions import Attribution, segments
from ratchet.trust.owen_values import linkage_of, phrase_tree

Explained = Sequence[tuple[str, str, Attribution]]
"""Id, true label and attribution of each text."""


def to_explanation(attributions: Sequence[Attribution], labels: Sequence[str]) -> Any:
    """A `shap.Explanation` of the texts, rows of words by classes.

    `values` are (n_texts, n_words, n_classes) where all texts have as many words, else an array of one (n_words,
    n_classes) a text; `data` is the text in one piece a word, `feature_names` the words, `clustering` the phrase tree.
    """
    import shap

    return shap.Explanation(
        _packed([item.values for item in attributions]),
        base_values=np.array([item.base for item in attributions]).reshape(len(attributions), len(labels)),
        data=_packed([np.array(segments(item.text, item.spans), dtype=object) for item in attributions]),
        feature_names=[item.words for item in attributions],
        output_names=list(labels),
        clustering=_packed([linkage_of(phrase_tree(item.text, item.spans)) for item in attributions]),
    )


def write_explanation(folder: Path, bundle: str, explained: Explained, labels: Sequence[str]) -> None:
    """Store a bundle's explanations, to the last bit, as `BUNDLE-texts.parquet` and `BUNDLE-words.parquet`."""
    texts = pd.DataFrame(
        {
            "id": pd.Series([key for key, _, _ in explained], dtype=str),
            "text": pd.Series([item.text for _, _, item in explained], dtype=str),
            "label": pd.Series([label for _, label, _ in explained], dtype=str),
            "unit": pd.Series([item.unit for _, _, item in explained], dtype=str),
            **_columns("proba", labels, [item.proba[None] for _, _, item in explained]),
            **_columns("base", labels, [item.base[None] for _, _, item in explained]),
        }
    )
    spans = [span for _, _, item in explained for span in item.spans]
    words = pd.DataFrame(
        {
            "id": pd.Series([key for key, _, item in explained for _ in item.spans], dtype=str),
            "start": pd.Series([start for start, _ in spans], dtype="int64"),
            "end": pd.Series([end for _, end in spans], dtype="int64"),
            "word": pd.Series([word for _, _, item in explained for word in item.words], dtype=str),
            **_columns("value", labels, [item.values for _, _, item in explained]),
        }
    )
    write_table(folder / f"{bundle}-texts.parquet", texts, EXPLAINED_TEXTS)
    write_table(folder / f"{bundle}-words.parquet", words, EXPLAINED_WORDS)


def read_explained(folder: Path, bundle: str) -> tuple[list[tuple[str, str, Attribution]], list[str]]:
    """What `write_explanation` stored: id, true label and attribution of each text; and the class names.

    Raises:
        TableError: a table is missing or breaks its declaration.
    """
    texts = read_table(folder / f"{bundle}-texts.parquet", EXPLAINED_TEXTS)
    words = read_table(folder / f"{bundle}-words.parquet", EXPLAINED_WORDS)
    labels = [name.removeprefix("proba_") for name in texts.columns if name.startswith("proba_")]
    proba, base, values = (
        frame[[f"{kind}_{label}" for label in labels]].to_numpy(dtype=np.float64)
        for kind, frame in (("proba", texts), ("base", texts), ("value", words))
    )
    rows = words.groupby("id", sort=False).indices
    none = np.zeros(0, dtype=np.int64)
    explained = []
    columns = (texts[name] for name in ("id", "text", "label", "unit"))
    for index, (key, text, label, unit) in enumerate(zip(*columns, strict=True)):
        of_text = rows.get(key, none)
        starts, ends = (words[name].to_numpy()[of_text].tolist() for name in ("start", "end"))
        spans = list(zip(starts, ends, strict=True))
        explained.append((key, label, Attribution(text, spans, values[of_text], base[index], proba[index], unit)))
    return explained, labels


def read_explanation(folder: Path, bundle: str) -> Any:
    """The stored explanations of a bundle as a `shap.Explanation`; see `to_explanation`.

    Args:
        folder: `reports/explain`.
        bundle: its name.

    Raises:
        TableError: a table is missing or breaks its declaration.
    """
    explained, labels = read_explained(folder, bundle)
    return to_explanation([item for _, _, item in explained], labels)


def _columns(kind: str, labels: Sequence[str], rows: Sequence[Any]) -> dict[str, Any]:
    """A column a class of rows (n, n_classes), one array below the other."""
    stacked = np.concatenate([*rows, np.zeros((0, len(labels)))])
    return {f"{kind}_{label}": stacked[:, index] for index, label in enumerate(labels)}


def _packed(items: Sequence[Any]) -> Any:
    """One array of arrays of one shape, an array of objects of others."""
    if len({item.shape for item in items}) == 1:
        return np.array(items)
    packed = np.empty(len(items), dtype=object)
    packed[:] = items
    return packed
