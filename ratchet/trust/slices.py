"""Slices: named subsets of the rows on which quality is looked at separately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ratchet.errors import TableError
from ratchet.files import read_json

NEGATION = (
    r"(?i)\b(?:not|no|never|none|nothing|nobody|nowhere|neither|nor|cannot|without|hardly|barely|scarcely)\b"
    r"|n['’]t\b"
)
"""Negation cues of English.

Source: the explicit negation cues of Councill, McDonald & Velikovich 2010, https://aclanthology.org/W10-3110, of which
these are single words."""

RATING = r"(?i)\b\d+(?:\.\d+)?\s*(?:/|out of)\s*(?:4|5|10|100)\b|(?:\b\d+|\*)\s*stars?\b|\*{2,}"
"""A rating in figures or stars, which gives a review's label away."""


def length_groups(texts: Sequence[str], edges: Sequence[int]) -> NDArray[np.str_]:
    """'short', 'medium' or 'long' for each text: at most edges[0] words, at most edges[1], more.

    Words are what stands between white space. The edges are fixed, so a slice means the same on every data set.

    >>> length_groups(["one", "one two three", "a b c d e"], [1, 3]).tolist()
    ['short', 'medium', 'long']
    """
    n_words = np.array([len(text.split()) for text in texts], dtype=np.int64)
    return np.array(["short", "medium", "long"])[np.searchsorted(np.asarray(edges), n_words, side="left")]


LENGTH_EDGES = Path("reports/length_edges.json")
"""Where `split` leaves them, below the root."""


def read_length_edges(path: Path) -> list[int]:
    """The most words of a short text, and of a medium one, as the stage `split` measured them."""
    edges: list[int] = read_json(path)["edges"]
    return edges


def pattern_groups(texts: pd.Series[str], pattern: str) -> NDArray[np.str_]:
    """'yes' for each text in which the pattern occurs, else 'no'.

    >>> pattern_groups(pd.Series(["It isn't good.", "Notable"]), NEGATION).tolist()
    ['yes', 'no']
    """
    found = texts.astype("str").str.contains(pattern, regex=True).to_numpy(dtype=bool)
    return np.where(found, "yes", "no")


FEATURES: dict[str, Callable[[pd.DataFrame, Sequence[int]], NDArray[np.str_]]] = {
    "length": lambda frame, edges: length_groups(frame["text"].tolist(), edges),
    "negation": lambda frame, _: pattern_groups(frame["text"], NEGATION),
    "rating": lambda frame, _: pattern_groups(frame["text"], RATING),
}
"""Features computed from the text; any other name is a column of the table. A new one is a line here."""


def slice_groups(frame: pd.DataFrame, feature: str, length_edges: Sequence[int]) -> NDArray[np.str_]:
    """The group of each row under one feature, (n,): every row is in exactly one; 'missing' where a column is null.

    Args:
        frame: rows with `text` and any column that is named.
        feature: 'length', 'negation' or 'rating', or the name of a column, such as 'source'.
        length_edges: the most words of a short text, and of a medium one.

    Raises:
        TableError: the feature is neither known nor a column.
    """
    if feature in FEATURES:
        return FEATURES[feature](frame, length_edges)
    if feature not in frame.columns:
        raise TableError(
            f"There is no slice feature '{feature}'.",
            where="the table to be sliced",
            got=feature,
            expected=f"one of {', '.join(FEATURES)}, or a column of {', '.join(map(str, frame.columns))}",
            fix="name another feature in params.yaml, or keep the column with ingest's metadata_columns",
        )
    column = frame[feature]
    return np.where(column.isna(), "missing", column.astype("str")).astype(np.str_)


def slice_masks(
    frame: pd.DataFrame, features: Sequence[str], length_edges: Sequence[int]
) -> dict[str, NDArray[np.bool_]]:
    """The rows of every slice, (n,), by name: 'length=short', 'negation=yes', 'source=imdb'; in order of features.

    The groups of one feature are disjoint and cover all rows; a group without rows is absent.

    Raises:
        TableError: see `slice_groups`.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for feature in features:
        groups = slice_groups(frame, feature, length_edges)
        for group in sorted(set(groups.tolist())):
            masks[f"{feature}={group}"] = groups == group
    return masks
