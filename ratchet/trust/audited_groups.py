"""Groups of texts whose treatment is compared: slices, and the people whom texts speak of or metadata names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import ratchet.params
from ratchet.errors import TableError
from ratchet.task import LengthEdges
from ratchet.trust.lexicons import Lexicon, lexicon_groups
from ratchet.trust.sensitive import intersections
from ratchet.trust.slices import Patterns, slice_groups

if TYPE_CHECKING:
    import pandas as pd


class AuditedFeatures(ratchet.params.Params):
    """What defines the groups."""

    features: list[str] = Field(min_length=1)
    """What defines slices: length, a feature of data/lexicons/features.yaml, or source."""
    columns: list[str]
    """Metadata columns of the data that define groups of people too, such as a region or a language: sensitive."""
    attributes: list[str]
    """Attributes of data/lexicons/identity.yaml: the people whom a text speaks of; sensitive."""
    intersections: list[list[str]]
    """Features, columns or attributes whose groups are also looked at where they meet."""
    min_group_size: int = Field(ge=1)
    """A rate that rests on fewer texts is left undefined, and out of every gap."""


class WithLengthEdges(AuditedFeatures):
    """The same, with the edges between short, middle and long texts."""

    length_edges: LengthEdges


class Rules(NamedTuple):
    """What the task's files hold."""

    lexicon: Lexicon
    patterns: Patterns


@dataclass(frozen=True)
class AuditedGroups:
    """The groups of the audited texts, (n,) each."""

    slices: dict[str, NDArray[np.str_]]
    sensitive: dict[str, NDArray[np.str_]]

    @property
    def all(self) -> dict[str, NDArray[np.str_]]:
        return {**self.slices, **self.sensitive}


def audited_groups(texts: pd.DataFrame, rules: Rules, params: WithLengthEdges, lexicon_path: str) -> AuditedGroups:
    """The groups of each text by feature.

    Args:
        texts: with `id`, `text`, `source` and metadata columns, (n,).
        rules: terms by which a text speaks of people, and the task's own features.
        params: see `WithLengthEdges`.
        lexicon_path: where the terms come from, for errors.

    Raises:
        TableError: an attribute is not in the lexicon, or an intersection names no feature.
    """
    lexicon, patterns = rules
    if strangers := sorted(set(params.attributes) - set(lexicon.attributes)):
        raise TableError(
            "An attribute is not in the lexicon.",
            where="params.yaml, audit.attributes",
            got=", ".join(strangers),
            expected=f"some of {', '.join(lexicon.attributes)}",
            fix=f"add its terms to {lexicon_path}",
        )
    words = texts["text"].tolist()
    slices = {name: slice_groups(texts, name, params.length_edges, patterns) for name in params.features}
    sensitive = {
        name: slice_groups(texts, name, params.length_edges, patterns) for name in params.columns if name not in slices
    } | {name: lexicon_groups(words, lexicon, name) for name in params.attributes}
    known = {**slices, **sensitive}
    if strangers := sorted({name for pair in params.intersections for name in pair} - set(known)):
        raise TableError(
            "An intersection names an unknown feature.",
            where="params.yaml, audit.intersections",
            got=", ".join(strangers),
            expected=f"some of {', '.join(known)}",
            fix="name audited features",
        )
    for pair in params.intersections:
        where = sensitive if set(pair) & set(sensitive) else slices
        where |= intersections(known, [pair])
    return AuditedGroups(slices, sensitive)
