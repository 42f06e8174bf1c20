"""Predicates on texts, written as strings that mean the same on any table: what slices are made of.

`length=short`, `FEATURE=yes`, `COLUMN=value`: a group of a feature, see `ratchet.trust.slices`.
`word=WORD`: the text holds the word, in any casing.
`near=ID@0.6`: the cosine of the text's embedding with that of the text ID is at least 0.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import COMPOUNDS, words
from ratchet.errors import ParamsError
from ratchet.trust.slices import Patterns, slice_groups, slice_masks
from ratchet.trust.weak_slices import Mask

if TYPE_CHECKING:
    import pandas as pd

Vectors = NDArray[np.float32]


class Texts(NamedTuple):
    """Texts with what predicates look at."""

    frame: pd.DataFrame
    """Rows with id, text and any column that a predicate names."""
    vectors: Vectors
    """Their embeddings of unit length, (n, hidden)."""

    def bags(self) -> list[frozenset[str]]:
        """The words of each text, in lower case."""
        return [frozenset(words(text.lower(), COMPOUNDS)) for text in self.frame["text"]]


def holds(
    predicate: str, texts: Texts, anchors: Mapping[str, Vectors], length_edges: Sequence[int], patterns: Patterns
) -> Mask:
    """Where the predicate is true, (n,).

    Args:
        predicate: see the module.
        texts: the texts.
        anchors: id → embedding of unit length (hidden,), of each text that a `near` predicate names.
        length_edges: the most words of a short text, and of a medium one.
        patterns: the task's own features.

    Raises:
        ParamsError: the predicate is none, or names a text without embedding.
        TableError: its feature is unknown.
    """
    feature, equals, value = predicate.partition("=")
    if feature == "word":
        return np.array([value.lower() in bag for bag in texts.bags()], dtype=bool)
    if feature == "near":
        key, _, least = value.partition("@")
        try:
            similar: Mask = texts.vectors @ anchors[key] >= np.float32(least)
        except (KeyError, ValueError):
            raise _unknown(predicate, "near=ID@COSINE, of a text that is embedded") from None
        return similar
    if not (feature and equals and value):
        raise _unknown(predicate, "FEATURE=GROUP, word=WORD or near=ID@COSINE")
    return np.asarray(slice_groups(texts.frame, feature, length_edges, patterns) == value)


def near_ids(predicates: Sequence[str]) -> list[str]:
    """The ids that `near` predicates name.

    >>> near_ids(["near=a1@0.5", "word=late"])
    ['a1']
    """
    return [item.removeprefix("near=").partition("@")[0] for item in predicates if item.startswith("near=")]


def candidates(
    texts: Texts,
    features: Sequence[str],
    length_edges: Sequence[int],
    patterns: Patterns,
    min_size: int,
    max_words: int,
    n_clusters: int,
    seed: int,
) -> dict[str, Mask]:
    """Predicates worth trying on these texts, with the rows of each, (n,).

    The groups of the features, the `max_words` most frequent words in at least `min_size` texts, and the surroundings
    of `n_clusters` texts: medoids of a k-means clustering, with as many neighbours as their cluster has members.
    """
    masks = dict(slice_masks(texts.frame, features, length_edges, patterns))
    bags = texts.bags()
    counts = Counter(word for bag in bags for word in bag)
    frequent = sorted((word for word, n in counts.items() if n >= min_size), key=lambda word: (-counts[word], word))
    for word in frequent[:max_words]:
        masks[f"word={word}"] = np.array([word in bag for bag in bags], dtype=bool)
    return masks | _surroundings(texts, n_clusters, seed)


def feature_of(predicate: str) -> str:
    """What two predicates must differ in to be combined: two groups of one feature share no text."""
    feature = predicate.partition("=")[0]
    return predicate if feature == "word" else feature


def _surroundings(texts: Texts, n_clusters: int, seed: int) -> dict[str, Mask]:
    from sklearn.cluster import KMeans

    if not 0 < n_clusters < len(texts.frame):
        return {}
    clusters = KMeans(n_clusters, n_init=1, random_state=seed).fit(texts.vectors)
    masks = {}
    for number in range(n_clusters):
        members = np.flatnonzero(clusters.labels_ == number)
        center = clusters.cluster_centers_[number]
        medoid = members[np.argmax(texts.vectors[members] @ center)]
        similar = texts.vectors @ texts.vectors[medoid]
        least = float(np.floor(np.sort(similar)[-len(members)] * 1000) / 1000)
        masks[f"near={texts.frame['id'].iloc[medoid]}@{least:.3f}"] = similar >= np.float32(least)
    return masks


def _unknown(predicate: str, expected: str) -> ParamsError:
    return ParamsError(
        "A slice is described by what is no predicate.",
        where="data/challenge/weak_slices.yaml",
        got=predicate,
        expected=expected,
        fix="correct the file, or empty its list: the slices are then found anew",
    )
