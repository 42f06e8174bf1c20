"""What moved when texts drift: words, slices, classes, each with its share before and after, and the newest requests.

The reference keeps no text. Of words it keeps in how many of its texts each occurs, for those that occur in at least
`MIN_TEXTS`: a word that one person wrote is not in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import words

MIN_TEXTS = 5
"""Fewest texts of the reference in which a word occurs that is kept."""
MAX_WORDS = 5000
"""Most words that are kept: the most frequent ones."""
N_SHOWN = 10
ALPHA = 0.01
"""Probability that anything without change is listed, over all words, slices and classes of a window (Holm 1979)."""


@dataclass(frozen=True)
class WordCounts:
    """Texts of the reference in which each word occurs."""

    n_texts: int = 0
    """All of them; 0: the reference was made before words were kept."""
    counts: Mapping[str, int] = field(default_factory=dict)


def count_words(texts: Iterable[str]) -> WordCounts:
    """In how many of the texts each word occurs, whatever its case.

    >>> count_words(["Good day", "good good"] * 5).counts
    {'good': 10, 'day': 5}
    """
    found, n = _document_frequencies(texts)
    kept = sorted(((count, word) for word, count in found.items() if count >= MIN_TEXTS), key=lambda x: (-x[0], x[1]))
    return WordCounts(n, {word: count for count, word in kept[:MAX_WORDS]})


def what_moved(
    texts: Sequence[str],
    predicted: NDArray[np.int64],
    groups: Mapping[str, NDArray[np.str_]],
    reference: WordCounts,
    reference_predicted: NDArray[np.int64],
    reference_groups: Mapping[str, NDArray[np.str_]],
    labels: Sequence[str],
) -> list[dict[str, Any]]:
    """The words, slices and classes whose share differs, the largest differences of each kind first.

    Args:
        texts: of the window, n.
        predicted: their classes as answered, (n,).
        groups: feature → slice of each, (n,).
        reference: word counts of the reference.
        reference_predicted: classes that the model answered there, (m,).
        reference_groups: feature → slice of each of its rows, (m,).
        labels: class names.
    """
    n, m = len(texts), len(reference_predicted)
    counts = [
        ("class", label, int((predicted == i).sum()), n, int((reference_predicted == i).sum()), m)
        for i, label in enumerate(labels)
    ]
    for feature in sorted(set(groups) & set(reference_groups)):
        here, there = groups[feature], reference_groups[feature]
        for name in sorted({*here.tolist(), *there.tolist()}):
            found = int((here == name).sum()), n, int((there == name).sum()), len(there)
            counts.append(("slice", f"{feature}={name}", *found))
    if reference.n_texts:
        counts += _words(texts, reference)
    return _significant(counts)


def newest(features: NDArray[np.float32], reference: NDArray[np.float32], n: int = N_SHOWN) -> NDArray[np.int64]:
    """Rows of a window that are least like the reference and most like the window, the newest first.

    By the witness function of the maximum mean discrepancy. Source: Gretton et al. 2012, section 2.3,
    https://jmlr.org/papers/v13/gretton12a.html.

    Args:
        features: random Fourier features of the window, (n_rows, n_features).
        reference: those of the reference, (m, n_features).
        n: rows to return at most.
    """
    witness = features.astype(np.float64) @ (features.mean(axis=0) - reference.mean(axis=0)).astype(np.float64)
    rows: NDArray[np.int64] = np.argsort(-witness, kind="stable")[:n]
    return rows


def _words(texts: Sequence[str], reference: WordCounts) -> list[tuple[str, str, int, int, int, int]]:
    here, n = _document_frequencies(texts)
    often = [word for word, count in here.items() if count >= MIN_TEXTS]
    names = sorted({*often, *reference.counts})
    return [("word", name, here.get(name, 0), n, reference.counts.get(name, 0), reference.n_texts) for name in names]


def _document_frequencies(texts: Iterable[str]) -> tuple[Counter[str], int]:
    found: Counter[str] = Counter()
    n = 0
    for text in texts:
        n += 1
        found.update({word.casefold() for word in words(text)})
    return found, n


def _significant(counts: Sequence[tuple[str, str, int, int, int, int]]) -> list[dict[str, Any]]:
    """Those whose two proportions differ, by the chi-square test with Yates' correction, Holm's over all."""
    from scipy.stats import chi2

    if not counts:
        return []
    a, n, b, m = (np.array([item[place] for item in counts], dtype=np.float64) for place in (2, 3, 4, 5))
    pooled = (a + b) / (n + m)
    spread = pooled * (1 - pooled) * (1 / n + 1 / m)
    gap = np.maximum(np.abs(a / n - b / m) - (1 / n + 1 / m) / 2, 0)
    p = np.where(spread > 0, chi2.sf(gap**2 / np.where(spread > 0, spread, 1), 1), 1.0)
    order = np.argsort(p, kind="stable")
    passed = np.minimum.accumulate(p[order] <= ALPHA / np.arange(len(p), 0, -1))
    kept = [counts[place] for place in order[passed]]
    rows = [
        {"kind": kind, "name": name, "now": hits / of, "before": was / total}
        for kind, name, hits, of, was, total in kept
    ]
    rows.sort(key=lambda row: -abs(row["now"] - row["before"]))
    return [row for kind in ("class", "slice", "word") for row in [r for r in rows if r["kind"] == kind][:N_SHOWN]]
