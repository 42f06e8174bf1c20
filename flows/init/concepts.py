"""Concepts that are proposed for a task: texts that share words, or a value of a metadata column, beside their class.

A cluster of TF-IDF vectors, or a column's value, is kept where the classes of its texts differ from those of the others
beyond chance (chi-squared, Bonferroni), and where it is no class itself. Whether the model depends on it is for
`counterfactuals` to test. Texts with personal data are left out, since the files are for Git.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flows.init.plan import TaskPlan
from ratchet.data.cleaning import clean_texts
from ratchet.data.personal_data import find_personal_data

if TYPE_CHECKING:
    import pandas as pd

N_TEXTS = 4_000
N_CLUSTERS = 12
"""Clusters that are looked at."""
MAX_CONCEPTS, N_EXAMPLES, MAX_CHARACTERS = 6, 16, 300
MIN_TEXTS = 30
"""Texts below which a cluster or a value is no concept."""
ALPHA = 0.01
MAX_PURITY = 0.9
"""Share of one class from which a group of texts is that class, and no concept beside it."""
Mask = NDArray[np.bool_]


def concept_files(frame: pd.DataFrame, plan: TaskPlan) -> dict[str, bytes]:
    """Path → content of data/concepts: a text a line, of each concept that was kept."""
    class_of = {value.strip(): name for name, values in plan.classes.items() for value in values}
    rows = frame.iloc[:: max(1, len(frame) // N_TEXTS)]
    labels = [class_of.get(value.strip(), "") if isinstance(value, str) else "" for value in rows[plan.label]]
    rows = rows[np.array(labels, dtype=np.str_) != ""]
    texts, _ = clean_texts([value if isinstance(value, str) else "" for value in rows[plan.text]])
    classes = np.array([label for label in labels if label], dtype=np.str_)
    if len(texts) < 2 * MIN_TEXTS:
        return {}
    groups = [*_columns(rows, plan), *_clusters(texts)]
    kept = [(name, order) for name, mask, order in groups if is_concept(mask, classes, ALPHA / len(groups))]
    files = {}
    for name, order in kept[:MAX_CONCEPTS]:
        lines = [texts[at] for at in order if _is_example(texts[at], plan)][:N_EXAMPLES]
        if len(lines) == N_EXAMPLES:
            files[f"data/concepts/{name}.txt"] = ("\n".join(lines) + "\n").encode()
    return files


def is_concept(mask: Mask, classes: NDArray[np.str_], alpha: float) -> bool:
    """Whether the texts of a group are of other classes than the rest, and not all of one.

    Args:
        mask: the group, (n_texts,).
        classes: (n_texts,).
        alpha: chance of a false finding.

    >>> classes = np.array(["a", "b"] * 100)
    >>> is_concept(np.arange(200) < 100, classes, 0.01), is_concept(classes == "a", classes, 0.01)
    (False, False)
    >>> is_concept((classes == "a") | (np.arange(200) % 4 == 1), classes, 0.01)
    True
    """
    from scipy.stats import chi2_contingency

    names, at = np.unique(classes, return_inverse=True)
    inside, outside = (np.bincount(at[part], minlength=len(names)) for part in (mask, ~mask))
    if min(inside.sum(), outside.sum()) < MIN_TEXTS or inside.max() >= MAX_PURITY * inside.sum():
        return False
    table = np.stack([inside, outside])
    return bool(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue < alpha)


def _columns(rows: pd.DataFrame, plan: TaskPlan) -> Iterator[tuple[str, Mask, Sequence[int]]]:
    """Each frequent value of a metadata column: its name, its texts, and the same in an order of their own."""
    for column in [*plan.metadata, *([plan.source] if plan.source else [])]:
        for value, n in rows[column].value_counts().head(3).items():
            if n < len(rows):
                mask = (rows[column] == value).to_numpy()
                yield _file_name(f"{column} {value}"), mask, np.flatnonzero(mask).tolist()


def _clusters(texts: Sequence[str]) -> Iterator[tuple[str, Mask, Sequence[int]]]:
    """Each cluster: its two weightiest words, its texts, and the same, the most typical first."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    from ratchet.data.words import words

    vectorizer = TfidfVectorizer(tokenizer=words, token_pattern=None, min_df=3, max_df=0.2, sublinear_tf=True)
    try:
        vectors: Any = vectorizer.fit_transform(texts)
    except ValueError:  # no word is both frequent and rare enough
        return
    model = MiniBatchKMeans(N_CLUSTERS, random_state=13, n_init=3).fit(vectors)
    names, nearness = vectorizer.get_feature_names_out(), np.asarray(vectors @ model.cluster_centers_.T)
    for cluster in range(N_CLUSTERS):
        mask = model.labels_ == cluster
        heaviest = names[np.argsort(-model.cluster_centers_[cluster])[:2]]
        order = [int(at) for at in np.argsort(-nearness[:, cluster]) if mask[at]]
        yield _file_name(" ".join(heaviest)), mask, order


def _is_example(text: str, plan: TaskPlan) -> bool:
    return 0 < len(text) <= MAX_CHARACTERS and not find_personal_data(text, plan.regions)


def _file_name(words: str) -> str:
    return re.sub(r"[\W_]+", "_", words.lower()).strip("_")[:60]
