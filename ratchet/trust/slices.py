"""Slices: named subsets of the rows on which quality is looked at separately."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from ratchet.data.languages import frequent_languages, languages
from ratchet.data.words import tokens
from ratchet.errors import TableError
from ratchet.files import read_json
from ratchet.params import Params

if TYPE_CHECKING:
    import pandas as pd

LENGTH = "length"
"""A feature that any text has; its groups are short, medium and long."""
LANGUAGE = "language"
"""Another one, unless the data has a column of this name; its groups are the codes of the languages, and `OTHER`."""
OTHER = "other"
Patterns = Mapping[str, str]
"""Feature → regular expression: the group of a text is 'yes' where it occurs, else 'no'."""
NO_PATTERNS: Patterns = MappingProxyType({})


class PatternFeatures(Params):
    """data/lexicons/features.yaml: features of the task's texts that a regular expression tells."""

    patterns: dict[str, str]
    """Feature → regular expression; its groups are 'yes' and 'no'."""

    @field_validator("patterns")
    @classmethod
    def _sound(cls, patterns: dict[str, str]) -> dict[str, str]:
        if taken := {LENGTH, LANGUAGE} & {*patterns}:
            raise ValueError(f"'{taken.pop()}' is a feature of every text already: choose another name")
        for name, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern of '{name}' is no regular expression: {error}") from None
        return patterns


def length_groups(texts: Sequence[str], edges: Sequence[int]) -> NDArray[np.str_]:
    """'short', 'medium' or 'long' for each text: at most edges[0] words, at most edges[1], more.

    Words are the `tokens` of `ratchet.data.words`. The edges are fixed, so a slice means the same on every data set.

    >>> length_groups(["one", "one two three", "a b c d e"], [1, 3]).tolist()
    ['short', 'medium', 'long']
    """
    n_words = np.array([len(tokens(text)) for text in texts], dtype=np.int64)
    return np.array(["short", "medium", "long"])[np.searchsorted(np.asarray(edges), n_words, side="left")]


def language_groups(texts: Sequence[str]) -> NDArray[np.str_]:
    """The language of each text, (n_texts,); 'other' where it cannot be told, or few of these texts are in it.

    Short texts are taken for the wrong language now and then: slices of a handful of them would say nothing.

    >>> language_groups(["a bus that is always late", "ein Bus, der immer zu spät kommt", "42"]).tolist()
    ['en', 'de', 'other']
    """
    found = languages(texts)
    frequent = frequent_languages(found)
    return np.array([language if language in frequent else OTHER for language in found], dtype=np.str_)


LENGTH_EDGES = Path("reports/length_edges.json")
"""Where `split` leaves them, below the root."""


def read_length_edges(path: Path) -> list[int]:
    """The most words of a short text, and of a medium one, as the stage `split` measured them.

    Raises:
        TableError: it has not run.
    """
    if not path.is_file():
        raise TableError(
            "The lengths of the texts were not measured yet.",
            where=path,
            expected="the report of the stage split",
            fix="bring the stage up to date first: ratchet run --stage split",
        )
    edges: list[int] = read_json(path)["edges"]
    return edges


def pattern_groups(texts: pd.Series[str], pattern: str) -> NDArray[np.str_]:
    """'yes' for each text in which the pattern occurs, else 'no'.

    >>> import pandas as pd
    >>> pattern_groups(pd.Series(["Order #12", "twelve"]), "[0-9]").tolist()
    ['yes', 'no']
    """
    found = [re.search(pattern, text) is not None for text in texts.astype("str")]
    return np.where(np.array(found, dtype=bool), "yes", "no")


def slice_groups(
    frame: pd.DataFrame, feature: str, length_edges: Sequence[int], patterns: Patterns
) -> NDArray[np.str_]:
    """The group of each row under one feature, (n,): every row is in exactly one; 'missing' where a column is null.

    Args:
        frame: rows with `text` and any column that is named.
        feature: 'length', 'language', a feature of `patterns`, or the name of a column, such as 'source'.
        length_edges: the most words of a short text, and of a medium one.
        patterns: the task's own features, see `PatternFeatures`.

    Raises:
        TableError: the feature is neither known nor a column.
    """
    if feature == LENGTH:
        return length_groups(frame["text"].tolist(), length_edges)
    if feature == LANGUAGE and LANGUAGE not in frame.columns:
        return language_groups(frame["text"].tolist())
    if feature in patterns:
        return pattern_groups(frame["text"], patterns[feature])
    if feature not in frame.columns:
        raise TableError(
            f"There is no slice feature '{feature}'.",
            where="the table to be sliced",
            got=feature,
            expected=f"one of {', '.join([LENGTH, LANGUAGE, *patterns])}, or a column of "
            f"{', '.join(map(str, frame.columns))}",
            fix="name another feature, add its pattern to data/lexicons/features.yaml, or keep the column by ingest's "
            "metadata_columns",
        )
    column = frame[feature]
    return np.where(column.isna(), "missing", column.astype("str")).astype(np.str_)


def slice_masks(
    frame: pd.DataFrame, features: Sequence[str], length_edges: Sequence[int], patterns: Patterns
) -> dict[str, NDArray[np.bool_]]:
    """The rows of every slice, (n,), by name: 'length=short', 'source=web'; in order of features.

    The groups of one feature are disjoint and cover all rows; a group without rows is absent.

    Raises:
        TableError: see `slice_groups`.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    for feature in features:
        groups = slice_groups(frame, feature, length_edges, patterns)
        for group in sorted(set(groups.tolist())):
            masks[f"{feature}={group}"] = groups == group
    return masks
