"""What a sample of a corpus is like: lengths, classes, languages, copies, damage, personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.languages import UNDETERMINED
from ratchet.data.rules.corpus_measures import measure_corpus
from ratchet.data.rules.measures import PERSONAL

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"min": 0.0, "p1": 0.01, "median": 0.5, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
"""Names of the quantiles of the number of words."""
MEASURED = ("n_characters", "n_words", "n_damaged", "n_markup", "language", *PERSONAL)


MIN_OF_LANGUAGE = 200
"""Sampled texts of a language from which its lengths are known well enough for rules of its own."""


@dataclass(frozen=True)
class Lengths:
    """How long texts are."""

    n_rows: int
    n_words: dict[str, float]
    """Quantiles of the texts' number of words, by the names of `QUANTILES`; empty without rows."""
    short_rates: dict[int, float]
    """Number of words from 1 to 3 → share of texts with fewer."""


@dataclass(frozen=True)
class SampleProfile:
    """What a sample of a corpus is like. Shares are of its rows, in [0, 1]."""

    n_rows: int
    n_words: dict[str, float]
    """Quantiles of the texts' number of words, by the names of `QUANTILES`; empty without rows."""
    short_rates: dict[int, float]
    """Number of words from 1 to 3 → share of texts with fewer."""
    class_counts: dict[str, int]
    """Class → rows, every class of the task."""
    unknown_label_rate: float
    unlabelled_rate: float
    languages: dict[str, float]
    """ISO 639 code, or `und` → share, the most frequent first."""
    copy_rate: float
    """Rows whose text came in an earlier row, but for case and spacing."""
    conflict_rate: float
    """Rows whose text has several labels."""
    near_duplicate_rate: float
    """Rows with an earlier text that shares most of its shingles."""
    damaged_rate: float
    """Rows with characters broken by a wrong decoding."""
    markup_rate: float
    personal_rates: dict[str, float]
    """Measure, such as `n_emails` → rows that have one."""
    by_language: dict[str, Lengths] = field(default_factory=dict)
    """ISO 639 code → the lengths of its texts, of languages with at least `MIN_OF_LANGUAGE` rows."""

    @property
    def rarest_class_rate(self) -> float:
        """Share of the rarest class among the rows of a class; 0 without any."""
        total = sum(self.class_counts.values())
        return min(self.class_counts.values(), default=0) / total if total else 0.0


def profile_sample(
    sample: pd.DataFrame, labels: Sequence[str], near_duplicate_threshold: float, regions: Sequence[str]
) -> SampleProfile:
    """What the sample is like.

    Args:
        sample: cleaned texts with the columns `text`, `label` (a class name; missing: unlabelled) and `source`.
        labels: the classes of the task.
        near_duplicate_threshold: see `task.near_duplicate_threshold`.
        regions: see `validate.regions`.
    """
    from ratchet.data.cleaning import text_id

    rows = sample.reset_index(drop=True)
    rows = rows.assign(id=[text_id(text) for text in rows["text"].fillna("")])

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield rows[list(columns)]

    found = measure_corpus(read, MEASURED, near_duplicate_threshold, regions)
    measured = found.measured(rows, 0)

    def share(name: str, above: int = 0) -> float:
        return float((measured[name] > above).mean()) if len(rows) else 0.0

    words, language = measured["n_words"].to_numpy(), measured["language"].to_numpy()
    found_languages = Counter(measured["language"].tolist())
    by_language = sorted(found_languages.items(), key=lambda item: (-item[1], item[0]))
    counts, known = rows["label"].value_counts(), rows["label"].isin([*labels])
    lengths = lengths_of(words)
    return SampleProfile(
        n_rows=len(rows),
        n_words=lengths.n_words,
        short_rates=lengths.short_rates,
        class_counts={label: int(counts.get(label, 0)) for label in labels},
        unknown_label_rate=float((rows["label"].notna() & ~known).mean()) if len(rows) else 0.0,
        unlabelled_rate=float(rows["label"].isna().mean()) if len(rows) else 0.0,
        languages={name: n / len(rows) for name, n in by_language},
        copy_rate=share("n_earlier_twins"),
        conflict_rate=share("n_twin_labels", above=1),
        near_duplicate_rate=share("n_near_duplicates"),
        damaged_rate=share("n_damaged"),
        markup_rate=share("n_markup"),
        personal_rates={name: share(name) for name in PERSONAL},
        by_language={
            name: lengths_of(words[language == name])
            for name, n in by_language
            if n >= MIN_OF_LANGUAGE and name != UNDETERMINED
        },
    )


def lengths_of(words: NDArray[Any]) -> Lengths:
    """The lengths of texts of so many words, (n_texts,).

    >>> lengths_of(np.array([1, 5])).short_rates
    {1: 0.0, 2: 0.5, 3: 0.5}
    """
    return Lengths(
        len(words),
        {name: float(np.quantile(words, q)) for name, q in QUANTILES.items()} if len(words) else {},
        {n: float((words < n).mean()) if len(words) else 0.0 for n in (1, 2, 3)},
    )
