"""Pool-based active learning against an oracle: ask, label, refit, ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.query_strategies import Indices, Proba, QueryStrategy

SelectionModel = Callable[[NDArray[np.float32]], Proba]


def query_sizes(n_initial: int, budget: int, n_rounds: int) -> list[int]:
    """Labels bought in each round: n_initial first, the rest in n_rounds near-equal batches; they sum to the budget.

    >>> query_sizes(50, 500, 3), query_sizes(50, 51, 3), query_sizes(50, 20, 3)
    ([50, 150, 150, 150], [50, 1], [20])
    """
    n_initial = min(n_initial, budget)
    steps = np.linspace(n_initial, budget, n_rounds + 1).astype(int)
    return [n_initial, *(int(size) for size in np.diff(steps) if size > 0)]


def fit_selection_model(
    embeddings: NDArray[np.float32], targets: NDArray[np.int64], n_classes: int, inverse_regularization: float
) -> SelectionModel:
    """Logistic regression on embeddings; maps (n, hidden) to (n, n_classes).

    A class that no label shows yet gets probability 0; with fewer than two classes every row is uniform.
    """
    from sklearn.linear_model import LogisticRegression

    present = np.unique(targets)
    if len(present) < 2:
        return lambda rows: np.full((len(rows), n_classes), 1.0 / n_classes)
    model: Any = LogisticRegression(C=inverse_regularization, max_iter=1000, tol=1e-3).fit(embeddings, targets)

    def predict_proba(rows: NDArray[np.float32]) -> Proba:
        proba = np.zeros((len(rows), n_classes))
        proba[:, present] = model.predict_proba(rows)
        return proba

    return predict_proba


def learn(
    embeddings: NDArray[np.float32],
    oracle: NDArray[np.int64],
    n_classes: int,
    query: QueryStrategy,
    sizes: Sequence[int],
    inverse_regularization: float,
    rng: np.random.Generator,
    known: Indices | None = None,
) -> Iterator[tuple[Indices, SelectionModel]]:
    """Each round's newly labelled rows of the pool, and the selection model after them.

    Args:
        embeddings: the pool, (n_pool, hidden), each of unit length.
        oracle: the hidden classes, (n_pool,); only those of rows that were asked for are looked at.
        n_classes: number of classes.
        query: the query strategy; the first round is always random.
        sizes: labels to buy in each round.
        inverse_regularization: of the selection model.
        rng: source of all randomness.
        known: rows that are labelled beforehand; they count in the first round, which random ones fill up.
    """
    labeled = np.zeros(len(embeddings), dtype=bool)
    proba = np.full((len(embeddings), n_classes), 1.0 / n_classes)
    for number, size in enumerate(sizes):
        if number == 0:
            known = np.array([], dtype=np.int64) if known is None else known
            others = rng.permutation(len(embeddings))
            others = others[~np.isin(others, known)]
            new = np.concatenate([known, others[: max(size - len(known), 0)]])
        else:
            new = query(proba, embeddings, labeled, size, rng)
        if len(new) == 0:
            return
        labeled[new] = True
        model = fit_selection_model(embeddings[labeled], oracle[labeled], n_classes, inverse_regularization)
        proba = model(embeddings)
        yield new, model


def unit_length(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings scaled to Euclidean length 1, (n, hidden): distances between them are by direction only."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (embeddings / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
