"""Pool-based active learning against an oracle: query, label, refit, until a stopping criterion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Embeddings, Indices, Pool, Proba, QueryStrategy
from ratchet.labels.query_strategies import query_random
from ratchet.labels.selection_model import SelectionModel, fit_selection_model
from ratchet.labels.stopping import Stopping


@dataclass(frozen=True)
class Plan:
    """Labelling plan: rounds, query strategies and stopping."""

    query: QueryStrategy
    """Chooses from the second round on."""
    sizes: Sequence[int]
    """Labels to buy in each round."""
    inverse_regularization: float
    """Of the selection model."""
    balanced: bool = False
    """Whether the selection model weighs each class the same, however rare it is."""
    initial: QueryStrategy = query_random
    """Chooses in the first round."""
    stopping: Stopping | None = None
    """Ends the buying early; None: at the last size."""
    champion: Proba | None = None
    """Probabilities of the pool by an earlier model, (n_pool, n_classes)."""
    champion_weight: float = 0.0
    """Its share, in [0, 1], in the probabilities that the strategy sees; the selection model has the rest."""


def query_sizes(n_initial: int, budget: int, n_rounds: int) -> list[int]:
    """Labels bought in each round: n_initial first, the rest in n_rounds near-equal batches; they sum to the budget.

    >>> query_sizes(50, 500, 3), query_sizes(50, 51, 3), query_sizes(50, 20, 3)
    ([50, 150, 150, 150], [50, 1], [20])
    """
    n_initial = min(n_initial, budget)
    steps = np.linspace(n_initial, budget, n_rounds + 1).astype(int)
    return [n_initial, *(int(size) for size in np.diff(steps) if size > 0)]


def learn(
    embeddings: Embeddings,
    oracle: NDArray[np.int64],
    n_classes: int,
    plan: Plan,
    rng: np.random.Generator,
    known: Indices | None = None,
) -> Iterator[tuple[Indices, SelectionModel]]:
    """Each round's newly labelled rows of the pool, and the selection model after them.

    Args:
        embeddings: the pool, (n_pool, hidden), each of unit length.
        oracle: the hidden classes, (n_pool,); only those of rows that were asked for are looked at.
        n_classes: number of classes.
        plan: see `Plan`.
        rng: source of all randomness.
        known: rows that are labelled beforehand; they count in the first round, which `plan.initial` fills up.
    """
    labeled = np.zeros(len(embeddings), dtype=bool)
    if known is not None:
        labeled[known] = True
    model: SelectionModel | None = None
    for number, size in enumerate(plan.sizes):
        proba = _proba(embeddings, n_classes, model, plan)
        pool = Pool(embeddings, labeled.copy(), proba, model.draw_proba if model else None)
        if number == 0:
            given = np.array([], dtype=np.int64) if known is None else known
            new = np.concatenate([given, plan.initial(pool, max(size - len(given), 0), rng)])
        else:
            new = plan.query(pool, size, rng)
        if len(new) == 0:
            return
        labeled[new] = True
        model = fit_selection_model(
            embeddings[labeled], oracle[labeled], n_classes, plan.inverse_regularization, plan.balanced
        )
        yield new, model
        if plan.stopping is not None and plan.stopping.enough(model(embeddings)):
            return


def _proba(embeddings: Embeddings, n_classes: int, model: SelectionModel | None, plan: Plan) -> Proba:
    """Probabilities for the query strategy, (n_pool, n_classes): mixed with the champion's; uniform without a model."""
    uniform = np.full((len(embeddings), n_classes), 1.0 / n_classes)
    if plan.champion is None or plan.champion_weight == 0.0:
        return uniform if model is None else model(embeddings)
    if model is None:
        return plan.champion
    return plan.champion_weight * plan.champion + (1 - plan.champion_weight) * model(embeddings)
