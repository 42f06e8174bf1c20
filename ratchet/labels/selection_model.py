"""The model that active learning refits after every round, cheap enough for that, and how sure it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Embeddings, Indices, Proba, chunks

N_DRAWS = 20
"""Models drawn from the posterior where disagreement is asked for."""


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
    covariances: Callable[[], Embeddings]
    """Posterior covariance of each row of weights, (n_present, hidden, hidden); computed when asked for."""

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
        """Probabilities under models of the Laplace posterior, (N_DRAWS, n, n_classes).

        The posterior is normal around the fit, with the inverse Hessian of the loss as covariance; classes are taken
        as independent of each other, exactly so with two. Each text gets its own marginal, from the same quantiles.
        Source: MacKay 1992, The evidence framework applied to classification networks,
        https://doi.org/10.1162/neco.1992.4.5.720.
        """
        from scipy.special import ndtri

        if len(self.present) < 2:
            return np.full((N_DRAWS, len(rows), self.n_classes), 1.0 / self.n_classes)
        logits = rows @ self.weights.T + self.intercepts  # (n, n_present)
        spread = [np.sqrt(np.maximum(((rows @ cov) * rows).sum(axis=1), 0.0)) for cov in self.covariances()]
        quantiles = ndtri((np.arange(N_DRAWS) + 0.5) / N_DRAWS)
        order = np.random.default_rng(0)  # which quantiles of the classes meet: arbitrary, and always the same
        noise = np.stack([order.permutation(quantiles) for _ in spread], axis=1)  # (N_DRAWS, n_present)
        draws = np.zeros((N_DRAWS, len(rows), self.n_classes))
        draws[:, :, self.present] = _softmax(logits + noise[:, None, :] * np.stack(spread, axis=1))
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
        fitted.fit(embeddings, targets)
        weights[-len(fitted.coef_) :], intercepts[-len(fitted.coef_) :] = fitted.coef_, fitted.intercept_

    def covariances() -> Embeddings:
        proba = _softmax(embeddings @ weights.T + intercepts)
        shares = len(targets) / (len(present) * np.bincount(targets, minlength=n_classes)[targets] * 1.0)
        curvature = proba * (1 - proba) * (shares[:, None] if balanced else 1.0)  # (n, n_present)
        prior = np.eye(hidden) / inverse_regularization
        found = np.zeros((len(present), hidden, hidden), dtype=np.float32)
        for index in range(int(len(present) == 2), len(present)):
            found[index] = np.linalg.inv((embeddings.T * curvature[:, index]) @ embeddings + prior)
        return found

    return SelectionModel(n_classes, present, weights, intercepts, covariances)


def _softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    raised = np.exp((logits - logits.max(axis=-1, keepdims=True)).astype(np.float64))
    proba: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return proba


def unit_length(embeddings: Embeddings) -> Embeddings:
    """Embeddings scaled to Euclidean length 1, (n, hidden): distances between them are by direction only."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: Embeddings = (embeddings / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
