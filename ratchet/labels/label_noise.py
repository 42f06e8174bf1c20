"""Label-error detection: confident learning on cross-validated probabilities, and its recall of planted flips.

Source: Northcutt, Jiang & Chuang 2021, Confident Learning, https://arxiv.org/abs/1911.00068; the method is cleanlab's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Proba
from ratchet.labels.selection_model import fit_selection_model

Targets = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Suspicion:
    """Evidence of a label error for each text, (n,) each."""

    score: NDArray[np.float64]
    """Probability of the given label by a model that never saw it, in [0, 1]; low is suspicious."""
    suggested: Targets
    """The most probable class."""
    flagged: Flags
    """Whether confident learning calls the label an error: another class is more probable than it usually is for
    texts of that class."""

    @property
    def ranking(self) -> NDArray[np.int64]:
        """All rows, most suspicious first; rows with equal scores stay in order."""
        return np.argsort(self.score, kind="stable")


def out_of_fold_proba(
    embeddings: NDArray[np.float32],
    targets: Targets,
    groups: Sequence[str],
    n_classes: int,
    n_folds: int,
    inverse_regularization: float,
    rng: np.random.Generator,
) -> Proba:
    """Class probabilities of each row, (n, n_classes), by logistic regression on the folds it is not in.

    Args:
        embeddings: of unit length, (n, hidden).
        targets: the classes as labelled, (n,).
        groups: near-duplicate groups, (n,): a group is in one fold, so that no twin gives a label away.
        n_classes: number of classes.
        n_folds: see `group_folds`.
        inverse_regularization: of the model.
        rng: source of the folds.
    """
    fold = group_folds(targets, groups, n_folds, rng)
    proba = np.full((len(targets), n_classes), 1.0 / max(n_classes, 1))
    for number in range(n_folds):
        inside = fold == number
        if inside.any():
            model = fit_selection_model(embeddings[~inside], targets[~inside], n_classes, inverse_regularization)
            proba[inside] = model(embeddings[inside])
    return proba


def group_folds(targets: Targets, groups: Sequence[str], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each row, (n,): whole groups, and each class's groups in all folds alike, at most one more in some.

    A class with two groups or more is therefore in the training part of every fold.

    Args:
        targets: the classes, (n,); a group counts for the class of its first row.
        groups: (n,).
        n_folds: folds of nearly as many groups each.
        rng: source of chance.
    """
    names, first, member = np.unique(
        np.asarray(groups, dtype=object).astype(str), return_index=True, return_inverse=True
    )
    dealt = np.empty(len(names), dtype=np.int64)
    dealt[np.lexsort((rng.permutation(len(names)), targets[first]))] = np.arange(len(names)) % n_folds
    return dealt[member]


def suspicion(targets: Targets, proba: Proba) -> Suspicion:
    """Evidence of label errors from out-of-fold probabilities; fewer than two classes give no flags."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    flagged = np.zeros(len(targets), dtype=bool)
    if len(np.unique(targets)) < 2:
        return Suspicion(np.ones(len(targets)), targets.copy(), flagged)
    flagged = np.asarray(find_label_issues(targets, proba, filter_by="confident_learning", n_jobs=1), dtype=bool)
    score = np.asarray(get_label_quality_scores(targets, proba, method="self_confidence"), dtype=np.float64)
    return Suspicion(score, proba.argmax(axis=1).astype(np.int64), flagged)


def flip_labels(targets: Targets, rate: float, n_classes: int, rng: np.random.Generator) -> tuple[Targets, Flags]:
    """The labels with a share of them changed to another class at random, and which were changed, both (n,).

    >>> flipped, planted = flip_labels(np.zeros(100, dtype=np.int64), 0.1, 3, np.random.default_rng(0))
    >>> int(planted.sum()), bool(((flipped > 0) == planted).all())
    (10, True)
    """
    planted = np.zeros(len(targets), dtype=bool)
    planted[rng.choice(len(targets), round(rate * len(targets)), replace=False)] = True
    shift = rng.integers(1, n_classes, size=len(targets))
    return np.where(planted, (targets + shift) % n_classes, targets), planted


def detection(found: Suspicion, planted: Flags, n_reviewed: int) -> dict[str, float]:
    """Detection metrics of the ranking on planted errors (n,), in [0, 1]; NaN where nothing or everything is planted.

    - `auroc`: chance that a planted error ranks before a label that was left alone; 0.5 is no better than guessing.
    - `precision_at_1pct`, `precision_at_reviewed`: planted among the first 1 % of the ranking, and among the first
      `n_reviewed`. Labels that were wrong before count against both, so these are lower bounds.
    - `recall_at_reviewed`: share of the planted that stand among the first `n_reviewed`.
    - `precision_flagged`, `recall_flagged`: the same of all that confident learning calls errors.
    """
    from sklearn.metrics import roc_auc_score

    n, hits = len(planted), planted[found.ranking]
    if not 0 < planted.sum() < n:
        return dict.fromkeys(DETECTION, float("nan"))
    first = max(1, n // 100)
    return {
        "auroc": float(roc_auc_score(planted, -found.score)),
        "precision_at_1pct": float(hits[:first].mean()),
        "precision_at_reviewed": float(hits[:n_reviewed].mean()),
        "recall_at_reviewed": float(hits[:n_reviewed].sum() / planted.sum()),
        "precision_flagged": float(planted[found.flagged].mean()) if found.flagged.any() else float("nan"),
        "recall_flagged": float(found.flagged[planted].mean()),
    }


DETECTION = (
    "auroc",
    "precision_at_1pct",
    "precision_at_reviewed",
    "recall_at_reviewed",
    "precision_flagged",
    "recall_flagged",
)
