"""Query strategies: which texts of the pool to label next.

All share one signature. They see the pool's embeddings and the selection model's probabilities, and never a label.
What they return is a subset of the unlabelled rows without repeats, and all of them when fewer than a batch are left.
Ties are broken at random by the generator that is handed in, so equal generators give equal queries.

Those that look at one text at a time stand here; those that look at how texts lie to each other in
`diversity_strategies`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.diversity_strategies import (
    query_badge,
    query_contrastive,
    query_hybrid,
    query_k_center,
    query_typiclust,
)
from ratchet.labels.pool import Indices, Pool, Proba, QueryStrategy, Scores, chunks, highest, margin_scores


def entropy_scores(proba: Proba) -> Scores:
    """Shannon entropy of each row in nats, (n,): 0 for a certain prediction, ln(n_classes) for a uniform one.

    Source: Settles & Craven 2008, https://aclanthology.org/D08-1112; Shannon 1948.

    >>> entropy_scores(np.array([[1.0, 0.0], [0.5, 0.5]])).round(3).tolist()
    [0.0, 0.693]
    """
    logs = np.log(proba, out=np.zeros_like(proba), where=proba > 0)
    scores: Scores = -(proba * logs).sum(axis=-1)
    return np.abs(scores)  # -0.0 is 0.0


def least_confidence_scores(proba: Proba) -> Scores:
    """1 − the largest probability of each row, (n,): 0 for a certain prediction, 1 − 1/n_classes for a uniform one.

    Source: Lewis & Gale 1994, https://arxiv.org/abs/cmp-lg/9407020.
    """
    scores: Scores = 1.0 - proba.max(axis=1)
    return scores


def mutual_information(draws: NDArray[np.float64]) -> Scores:
    """Mutual information of label and model, in nats, (n,): entropy of the mean minus mean of the entropies.

    Args:
        draws: class probabilities under models drawn from the posterior, (n_draws, n, n_classes).

    0 where all models agree, also where all of them are equally torn; at most ln(n_classes), and never negative.
    Source: Houlsby et al. 2011, Bayesian active learning by disagreement, https://arxiv.org/abs/1112.5745.

    >>> mutual_information(np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])).round(3).tolist()
    [0.693, 0.0]
    """
    scores: Scores = entropy_scores(draws.mean(axis=0)) - entropy_scores(draws).mean(axis=0)
    return np.maximum(scores, 0.0)


def query_random(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Unlabelled texts, each as likely as any other: what every strategy has to beat."""
    return rng.permutation(pool.unlabeled)[:batch_size]


def query_bald(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Texts on which models that fit the labels about equally well disagree most, by `mutual_information`.

    The models are those of a bootstrapped committee, see `bootstrap_committee`. Without a selection model there is
    none, and every text is as good as another.
    """
    rows = pool.unlabeled
    scores = np.zeros(len(rows))
    if pool.draw_proba is not None:
        for part in chunks(len(rows)):
            scores[part] = mutual_information(pool.draw_proba(pool.rows(rows[part])))
    return highest(scores, rows, batch_size, rng)


def _query_by(score: Callable[[Proba], Scores]) -> QueryStrategy:
    def query(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
        rows = pool.unlabeled
        return highest(score(pool.proba[rows]), rows, batch_size, rng)

    return query


QUERY_STRATEGIES: dict[str, QueryStrategy] = {
    "random": query_random,
    "least_confidence": _query_by(least_confidence_scores),
    "margin": _query_by(margin_scores),
    "entropy": _query_by(entropy_scores),
    "bald": query_bald,
    "k_center": query_k_center,
    "badge": query_badge,
    "contrastive": query_contrastive,
    "typiclust": query_typiclust,
    "hybrid": query_hybrid,
}
"""By the names params.yaml knows."""
ASKS_COMMITTEE = ("bald",)
"""Those that ask several models, and choose at random without them."""
WITHOUT_MODEL = ("random", "k_center", "typiclust", "bald")
"""Those that need no class probabilities."""
BY_PROBA: dict[str, Callable[[Proba], Scores]] = {
    "least_confidence": least_confidence_scores,
    "margin": margin_scores,
    "hybrid": margin_scores,
    "entropy": entropy_scores,
}
"""Score of each text by its probabilities, of the strategies that have one."""
ALIKE_FOR_TWO = {"entropy": "margin", "least_confidence": "margin"}
"""With two classes these rank texts as the other does: all three fall with the larger probability."""


def query_scores(query_strategy: str, pool: Pool, rows: Indices) -> Scores:
    """The score by which each of these rows was chosen, (n_rows,); NaN where a strategy chooses by none.

    `random` draws; `k_center`, `badge`, `typiclust` and `contrastive` look at how a text lies to the others.
    """
    if query_strategy in BY_PROBA:
        return BY_PROBA[query_strategy](pool.proba[rows])
    if query_strategy in ASKS_COMMITTEE and pool.draw_proba is not None:
        return mutual_information(pool.draw_proba(pool.rows(rows)))
    return np.full(len(rows), np.nan)
