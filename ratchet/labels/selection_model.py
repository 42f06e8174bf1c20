"""The selection model of active learning, refitted after every round, and its uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.committee import N_MEMBERS, bootstrap_committee
from ratchet.labels.pool import Embeddings, Indices, Proba, chunks


@dataclass(frozen=True)
class SelectionModel:
    """Logistic regression on embeddings: what chooses the labels, and what measures how good the choice was."""

    n_classes: int
    present: Indices
    """The classes that labels have shown so far, ascending."""
    weights: Embeddings
    """(n_present, hidden); with two classes present the first row is 0, with one all are."""
    intercepts: Embeddings
    """(n_present,)."""
    refit: Callable[[], NDArray[np.float64]]
    """Makes the committee: weights and, last, intercepts of each member, (n_members, n_present, hidden + 1)."""

    @cached_property
    def committee(self) -> Embeddings:
        """The committee of `refit`, in 32-bit; computed on first access."""
        return self.refit().astype(np.float32)

    def __call__(self, rows: NDArray[Any]) -> Proba:
        """Class probabilities of embeddings (n, hidden), (n, n_classes): 0 for a class that no label has shown.

        With fewer than two classes shown, every row is uniform.
        """
        if len(self.present) < 2:
            return np.full((len(rows), self.n_classes), 1.0 / self.n_classes)
        proba = np.zeros((len(rows), self.n_classes))
        for part in chunks(len(rows)):
            points = np.asarray(rows[part], dtype=np.float32)
            proba[part, self.present] = _softmax(points @ self.weights.T + self.intercepts)
        return proba

    def draw_proba(self, rows: Embeddings) -> NDArray[np.float64]:
        """Probabilities under the members of a bootstrapped committee, (n_members, n, n_classes).

        With fewer than two classes shown, every row is uniform under every member.
        """
        if len(self.present) < 2:
            return np.full((N_MEMBERS, len(rows), self.n_classes), 1.0 / self.n_classes)
        n_members, n_present, _ = self.committee.shape
        flat = self.committee.reshape(n_members * n_present, -1)
        logits = flat[:, :-1] @ rows.T + flat[:, -1:]  # (n_members * n_present, n)
        draws = np.zeros((n_members, len(rows), self.n_classes))
        draws[:, :, self.present] = _softmax(logits.reshape(n_members, n_present, -1).swapaxes(1, 2))
        return draws


def fit_selection_model(
    embeddings: Embeddings,
    targets: NDArray[np.int64],
    n_classes: int,
    inverse_regularization: float,
    balanced: bool = False,
) -> SelectionModel:
    """Logistic regression on embeddings (n, hidden), with the classes (n,) that labels have shown.

    Args:
        embeddings: of the labelled texts, (n, hidden), each of unit length.
        targets: their classes, (n,).
        n_classes: classes there are, shown or not.
        inverse_regularization: larger fits closer.
        balanced: weigh each class the same, however rare it is.
    """
    from sklearn.linear_model import LogisticRegression

    present, hidden = np.unique(targets), embeddings.shape[1]
    weights = np.zeros((len(present), hidden), dtype=np.float32)
    intercepts = np.zeros(len(present), dtype=np.float32)
    if len(present) > 1:
        weighting = "balanced" if balanced else None
        fitted: Any = LogisticRegression(C=inverse_regularization, max_iter=1000, tol=1e-3, class_weight=weighting)
        with warnings.catch_warnings():  # of the first labels, many classes may have one or two
            warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
            fitted.fit(embeddings, targets)
        weights[-len(fitted.coef_) :], intercepts[-len(fitted.coef_) :] = fitted.coef_, fitted.intercept_

    def refit() -> NDArray[np.float64]:
        counts = np.bincount(targets, minlength=n_classes)[targets]
        shares = len(targets) / (len(present) * counts) if balanced else np.ones(len(targets))
        points = np.column_stack([embeddings, np.ones(len(embeddings))]).astype(np.float64)
        fit = np.column_stack([weights, intercepts]).astype(np.float64)
        same = np.random.default_rng(0)  # which labels are drawn is arbitrary, and always the same
        return bootstrap_committee(points, np.searchsorted(present, targets), fit, shares, inverse_regularization, same)

    return SelectionModel(n_classes, present, weights, intercepts, refit)


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    raised = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    proba: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return proba


def unit_length(embeddings: Embeddings) -> Embeddings:
    """Embeddings scaled to Euclidean length 1, (n, hidden): distances between them are by direction only."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: Embeddings = (embeddings / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
