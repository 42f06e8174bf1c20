"""What a contestant is given, and what it gives back.

It is imported in every contestant's environment: the standard library and NumPy are all that each of them has.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Proba = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Labelled texts, and what every contestant has to keep to."""

    texts: list[str]
    targets: list[int]
    """The class of each text, in [0, n_classes); every class has at least two."""
    n_classes: int
    metric: str
    """What the contestant is judged by: accuracy or macro_f1."""
    seed: int
    n_threads: int
    max_tokens: int
    """Texts are cut to this many tokens by every contestant with a tokenizer."""
    backbone: Path
    """Folder of the pretrained encoder that every contestant with one starts from."""
    scratch: Path
    """A folder for files of the contestant's own."""
    cpu_budget_s: float
    """CPU-seconds that training may take; 0: as many as it needs."""


class Model(Protocol):
    """What training gives."""

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""

    def save(self, folder: Path) -> None:
        """Write all that a server needs to answer, and nothing else."""


class Contestant(Protocol):
    """A module of `benchmarks.league.contestants`."""

    def train(self, task: Task) -> Model:
        """Train on the task's texts."""


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended, all threads, user and system."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def scoring(metric: str) -> str:
    """scikit-learn's name of the metric."""
    return {"accuracy": "accuracy", "macro_f1": "f1_macro"}[metric]


def folds(task: Task) -> Any:
    """Five folds by class; fewer where a class has fewer texts."""
    from sklearn.model_selection import StratifiedKFold

    rarest = int(np.bincount(task.targets, minlength=task.n_classes).min())
    return StratifiedKFold(max(2, min(5, rarest)), shuffle=True, random_state=task.seed)


def fit_head(features: NDArray[Any], task: Task) -> Any:
    """Logistic regression on features (n_texts, n_features), its regularization chosen by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    strengths = {"C": [0.1, 1.0, 10.0, 100.0, 1000.0]}
    search = GridSearchCV(LogisticRegression(max_iter=2000), strengths, scoring=scoring(task.metric), cv=folds(task))
    return search.fit(features, task.targets).best_estimator_


def save_head(head: Any, path: Path) -> None:
    """The weights of a logistic regression, without pickle."""
    np.savez(path, coef=head.coef_, intercept=head.intercept_)
