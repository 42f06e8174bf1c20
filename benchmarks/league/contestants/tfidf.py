"""TF-IDF with logistic regression, tuned the plain way: words or characters, and the regularization, by grid search.

Source: Wang & Manning 2012, Baselines and bigrams, https://aclanthology.org/P12-2018.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from benchmarks.league.interface import Proba, Task, folds, save_head, scoring

WORDS = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
CHARACTERS = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, max_features=300_000)


class Fitted:
    """The best of the grid, fitted on all labels."""

    def __init__(self, pipeline: Any, chosen: dict[str, str]) -> None:
        self._pipeline, self.notes = pipeline, chosen

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba: Proba = self._pipeline.predict_proba(texts)
        return proba

    def save(self, folder: Path) -> None:
        """Vocabulary, inverse document frequencies and weights."""
        terms, head = self._pipeline["terms"], self._pipeline["head"]
        (folder / "vocabulary.json").write_text(json.dumps(terms.get_feature_names_out().tolist()), encoding="utf-8")
        np.save(folder / "idf.npy", terms.idf_)
        save_head(head, folder / "head.npz")


def train(task: Task) -> Fitted:
    """The pipeline that cross-validation chose."""
    pipeline = Pipeline([("terms", WORDS), ("head", LogisticRegression(max_iter=1000))])
    grid = {"terms": [WORDS, CHARACTERS], "head__C": [1.0, 10.0, 100.0]}
    search = GridSearchCV(pipeline, grid, scoring=scoring(task.metric), cv=folds(task)).fit(task.texts, task.targets)
    chosen = {"terms": search.best_params_["terms"].analyzer, "C": str(search.best_params_["head__C"])}
    return Fitted(search.best_estimator_, chosen)
