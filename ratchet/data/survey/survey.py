"""What a sample of raw rows shows of a task, once the text and label columns are known."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.data.cleaning import clean_texts, text_id
from ratchet.data.languages import UNDETERMINED, languages
from ratchet.data.survey.columns import ColumnProfile, profile_columns, role_of
from ratchet.data.survey.giveaways import Giveaway, find_giveaways, runs_of_labels
from ratchet.data.words import words

if TYPE_CHECKING:
    import pandas as pd

N_LANGUAGES = 2_000
"""Texts whose language is told, evenly spread over the sample."""
MIN_LANGUAGE = 0.02
"""Share of the texts whose language can be told from which it is one of the task's."""
QUANTILES = (0.01, 0.5, 0.99)


@dataclass(frozen=True)
class Lengths:
    """Words a text, at the quantiles 0.01, 0.5 and 0.99, and at the ends."""

    least: int
    low: int
    median: int
    high: int
    most: int


@dataclass(frozen=True)
class Survey:
    """What the sample shows."""

    n_rows: int
    columns: tuple[ColumnProfile, ...]
    text: str
    label: str
    values: dict[str, int]
    """Raw value of the label column → labelled texts, the most frequent first."""
    n_unlabelled: int
    n_empty: int
    """Rows without a text."""
    lengths: Lengths
    n_copies: int
    """Rows whose cleaned text came in an earlier row."""
    n_conflicts: int
    """Texts that come with several labels."""
    languages: dict[str, float]
    """Language → share of the texts whose language can be told, in [0, 1], the most frequent first."""
    giveaways: tuple[Giveaway, ...]
    label_runs: float
    """How much more often neighbours are of one class than by chance; see `runs_of_labels`."""

    def column(self, name: str) -> ColumnProfile:
        """The profile of a column.

        Raises:
            KeyError: there is none of that name.
        """
        return next(item for item in self.columns if item.name == name)

    @property
    def n_labelled(self) -> int:
        """Labelled rows of the sample."""
        return sum(self.values.values())

    @property
    def roles(self) -> dict[str, str]:
        """Column → its role."""
        return {item.name: role_of(item, self.text, self.label) for item in self.columns}


def survey(frame: pd.DataFrame, text: str, label: str) -> Survey:
    """The survey of raw rows, all columns strings and missing values null; (n_rows, n_columns)."""
    texts = ["" if value is None else str(value) for value in _values(frame, text)]
    labels = [value.strip() if isinstance(value, str) and value.strip() else None for value in _values(frame, label)]
    cleaned, _ = clean_texts(texts)
    others = {name: _values(frame, name) for name in map(str, frame.columns) if name not in (text, label)}
    n_copies, n_conflicts = _copies(cleaned, labels)
    return Survey(
        n_rows=len(frame),
        columns=tuple(profile_columns(frame)),
        text=text,
        label=label,
        values=dict(Counter(value for value in labels if value is not None).most_common()),
        n_unlabelled=sum(value is None for value in labels),
        n_empty=sum(not value for value in cleaned),
        lengths=_lengths(cleaned),
        n_copies=n_copies,
        n_conflicts=n_conflicts,
        languages=_languages(cleaned),
        giveaways=tuple(find_giveaways(others, labels)),
        label_runs=runs_of_labels(labels),
    )


def _values(frame: pd.DataFrame, name: str) -> list[str | None]:
    return [value if isinstance(value, str) else None for value in frame[name].tolist()]


def _lengths(texts: Sequence[str]) -> Lengths:
    n_words = sorted(len(words(text)) for text in texts if text)
    if not n_words:
        return Lengths(0, 0, 0, 0, 0)
    low, median, high = (n_words[math.floor(share * (len(n_words) - 1))] for share in QUANTILES)
    return Lengths(n_words[0], low, median, high, n_words[-1])


def _copies(texts: Sequence[str], labels: Sequence[str | None]) -> tuple[int, int]:
    """Rows whose text came before, and texts with several labels."""
    told: defaultdict[str, set[str]] = defaultdict(set)
    seen: set[str] = set()
    n_copies = 0
    for text, label in zip(texts, labels, strict=True):
        key = text_id(text)
        n_copies += key in seen
        seen.add(key)
        if label is not None:
            told[key].add(label)
    return n_copies, sum(len(classes) > 1 for classes in told.values())


def _languages(texts: Sequence[str]) -> dict[str, float]:
    """Language → share of the texts whose language can be told."""
    step = max(1, len(texts) // N_LANGUAGES)
    counts = Counter(languages([text for text in texts[::step] if text]))
    del counts[UNDETERMINED]
    total = max(counts.total(), 1)
    return {name: n / total for name, n in counts.most_common() if n / total >= MIN_LANGUAGE}
