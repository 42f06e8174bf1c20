"""The probe: logistic regression on a frozen encoder's feature vectors, its regularization chosen by cross-validation.

It is a model of its own, the measure by which backbones are compared, and the head from which fine-tuning starts.
Source: linear probing then fine-tuning, Kumar et al. 2022, https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.files import replace_file
from ratchet.models.predictor import softmax

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]

INVERSE_REGULARIZATIONS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates on vectors of unit length, from the strongest to the weakest regularization."""
MAX_ITERATIONS = 500
UNSEEN = 5.0
"""By how much the logit of a class without a label lies below the least intercept of the others."""


@dataclass(frozen=True)
class Probe:
    """A fitted probe."""

    weights: NDArray[np.float64]
    """(n_classes, hidden); zeros for a class that no label has shown."""
    intercepts: NDArray[np.float64]
    """(n_classes,)."""

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """Logits of vectors (n, hidden), (n, n_classes)."""
        logits: NDArray[np.float64] = vectors @ self.weights.T + self.intercepts
        return logits

    def divided(self, temperature: float) -> Probe:
        """The same with logits divided by a temperature."""
        return Probe(self.weights / temperature, self.intercepts / temperature)


def save_probe(probe: Probe, path: Path) -> None:
    """Write the head in 32-bit floats."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"weights": probe.weights, "intercepts": probe.intercepts}
    with replace_file(path) as partial:
        save_file({name: value.astype(np.float32) for name, value in tensors.items()}, partial)


def load_probe(path: Path) -> Probe:
    """The head that `save_probe` wrote."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return Probe(tensors["weights"].astype(np.float64), tensors["intercepts"].astype(np.float64))


def choose_regularization(
    vectors: Vectors, targets: Indices, n_classes: int, folds: Indices
) -> tuple[float, NDArray[np.float64]]:
    """The inverse regularization with the least log loss on folds that were not learned from, and its probabilities of
    each text when it was held out, (n_texts, n_classes).

    Args:
        vectors: of unit length, (n_texts, hidden).
        targets: class indices, (n_texts,), of at least two classes.
        n_classes: classes there are, whether or not a label shows them.
        folds: the fold that each text is held out in, (n_texts,); see `stratified_folds`.
    """
    tried = {c: _held_out(vectors, targets, n_classes, folds, c) for c in INVERSE_REGULARIZATIONS}
    best = min(tried, key=lambda c: log_loss(targets, tried[c]))
    return best, tried[best]


def fit_probe(
    vectors: Vectors,
    targets: Indices,
    n_classes: int,
    inverse_regularization: float,
    weight: NDArray[np.float64] | None = None,
) -> Probe:
    """The probe on vectors of unit length (n_texts, hidden), class indices (n_texts,) and their weights, if any."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    present = np.unique(targets)
    weights = np.zeros((n_classes, vectors.shape[1]))
    intercepts = np.zeros(n_classes)
    if len(present) > 1:
        model: Any = LogisticRegression(C=inverse_regularization, max_iter=MAX_ITERATIONS)
        # models this small are fastest on one thread, and the same whatever the number of cores
        with threadpool_limits(1), warnings.catch_warnings():  # of few labels, many classes may have one or two
            warnings.filterwarnings("ignore", "The number of unique classes is greater", UserWarning)
            model.fit(vectors, targets, sample_weight=weight)
        rows, offsets = model.coef_, model.intercept_
        if len(present) == 2:  # one row, for the second class: shared out among both
            rows, offsets = (np.concatenate([-part, part]) / 2 for part in (rows, offsets))
        weights[present], intercepts[present] = rows, offsets
    unseen = np.setdiff1d(np.arange(n_classes), present)
    intercepts[unseen] = intercepts[present].min() - UNSEEN
    return Probe(weights, intercepts)


def stratified_folds(targets: Indices, n_folds: int, seed: int) -> Indices:
    """The fold of each text, (n_texts,), each class spread evenly over the folds.

    >>> folds = stratified_folds(np.array([0] * 6 + [1] * 3), 3, seed=1)
    >>> [sorted(folds[:6].tolist()), sorted(folds[6:].tolist())]
    [[0, 0, 1, 1, 2, 2], [0, 1, 2]]
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(targets))
    order = order[np.argsort(targets[order], kind="stable")]
    folds = np.empty(len(targets), dtype=np.int64)
    folds[order] = np.arange(len(targets)) % n_folds
    return folds


def log_loss(targets: Indices, proba: NDArray[np.float64]) -> float:
    """Mean negative log-likelihood of the true classes, in nats."""
    return float(-np.log(np.maximum(proba[np.arange(len(targets)), targets], 1e-12)).mean())


def _held_out(vectors: Vectors, targets: Indices, n_classes: int, folds: Indices, c: float) -> NDArray[np.float64]:
    proba = np.empty((len(targets), n_classes))
    for fold in np.unique(folds):
        out = folds == fold
        proba[out] = softmax(fit_probe(vectors[~out], targets[~out], n_classes, c).logits(vectors[out]))
    return proba
