"""Which labels a run trains on: all of the pool, or those that simulated active learning buys round by round."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.active_learning import Plan, learn
from ratchet.labels.pool import Embeddings
from ratchet.labels.selection_model import fit_selection_model
from ratchet.measure.primary import PrimaryMetric

Texts = tuple[Embeddings, NDArray[np.int64]]
"""Embeddings of unit length, (n, hidden), and class indices, (n,)."""


class Purchase(NamedTuple):
    """The labels that are trained on, in their order."""

    rounds: list[int]
    """Round of each."""
    chosen: NDArray[np.int64]
    """Its place in the pool."""
    scores: list[dict[str, float]]
    """The selection model after each round: `n_labels`, and the metric on validation texts."""


def use_all(
    pool: Texts, held_out: Texts, metric: PrimaryMetric, inverse_regularization: float, balanced: bool
) -> Purchase:
    """Every label of the pool, in one round.

    Args:
        pool: the texts with a label.
        held_out: validation texts, on which the selection model is measured.
        metric: the primary metric.
        inverse_regularization: of the selection model, as `balanced`.
    """
    model = fit_selection_model(*pool, len(metric.classes), inverse_regularization, balanced)
    n = len(pool[0])
    score = {"n_labels": n, f"validation_{metric.name}": metric.value(held_out[1], model(held_out[0]))}
    return Purchase([0] * n, np.arange(n), [score])


def buy(
    pool: Texts, held_out: Texts, metric: PrimaryMetric, plan: Plan, given: NDArray[np.int64], seed: int
) -> Purchase:
    """The labels that are bought, in the order bought.

    Args:
        pool: the texts with a label, which plays the oracle.
        held_out: validation texts, on which the selection model is measured.
        metric: the primary metric.
        plan: how many labels in each round, and what chooses them.
        given: places in the pool of labels that are there from the start.
        seed: of ties and of what is drawn.
    """
    rounds: list[int] = []
    asked: list[NDArray[np.int64]] = []
    scores = []
    learning = learn(*pool, len(metric.classes), plan, np.random.default_rng(seed), given)
    for number, (new, model) in enumerate(learning):
        rounds += [number] * len(new)
        asked.append(new)
        score = metric.value(held_out[1], model(held_out[0]))
        scores.append({"n_labels": len(rounds), f"validation_{metric.name}": score})
    return Purchase(rounds, np.concatenate(asked), scores)
