"""Query strategies: which texts of the pool to label next.

All share one signature. They see probabilities and embeddings of the whole pool and never a label. What they return
is a subset of the unlabelled rows without repeats, and all of them when fewer than a batch are left. Ties are broken
at random by the generator that is handed in, so equal generators give equal queries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Proba = NDArray[np.float64]
Indices = NDArray[np.int64]
QueryStrategy = Callable[[Proba, NDArray[np.float32], NDArray[np.bool_], int, np.random.Generator], Indices]
"""(proba (n_pool, n_classes), embeddings (n_pool, hidden), labeled (n_pool,), batch_size, rng) → indices (≤ batch,)."""

PREFILTER = 10
"""The hybrid clusters this many times a batch of the most uncertain texts (beta in its paper, which tries 10 to 50)."""


def entropy_scores(proba: Proba) -> NDArray[np.float64]:
    """Shannon entropy of each row in nats, (n,): 0 for a certain prediction, ln(n_classes) for a uniform one.

    Source: Settles & Craven 2008, https://aclanthology.org/D08-1112; Shannon 1948.

    >>> entropy_scores(np.array([[1.0, 0.0], [0.5, 0.5]])).round(3).tolist()
    [0.0, 0.693]
    """
    logs = np.log(proba, out=np.zeros_like(proba), where=proba > 0)
    scores: NDArray[np.float64] = -(proba * logs).sum(axis=1)
    return np.abs(scores)  # -0.0 is 0.0


def margin_scores(proba: Proba) -> NDArray[np.float64]:
    """1 − (largest − second largest probability) of each row, (n,): 1 for a tie, 0 for a certain prediction.

    Source: Luo et al. 2005, Active learning to recognize multiple types of plankton ("breaking ties"),
    https://jmlr.org/papers/v6/luo05a.html.

    >>> margin_scores(np.array([[0.75, 0.25], [0.5, 0.5]])).tolist()
    [0.5, 1.0]
    """
    ordered = np.sort(proba, axis=1)
    scores: NDArray[np.float64] = 1.0 - (ordered[:, -1] - ordered[:, -2])
    return scores


def least_confidence_scores(proba: Proba) -> NDArray[np.float64]:
    """1 − the largest probability of each row, (n,): 0 for a certain prediction, 1 − 1/n_classes for a uniform one.

    Source: Lewis & Gale 1994, https://arxiv.org/abs/cmp-lg/9407020.
    """
    scores: NDArray[np.float64] = 1.0 - proba.max(axis=1)
    return scores


def query_random(
    proba: Proba, embeddings: NDArray[np.float32], labeled: NDArray[np.bool_], batch_size: int, rng: np.random.Generator
) -> Indices:
    """Unlabelled texts, each as likely as any other: what every strategy has to beat."""
    return rng.permutation(np.flatnonzero(~labeled))[:batch_size]


def _query_by(scores: Callable[[Proba], NDArray[np.float64]]) -> QueryStrategy:
    def query(
        proba: Proba,
        embeddings: NDArray[np.float32],
        labeled: NDArray[np.bool_],
        batch_size: int,
        rng: np.random.Generator,
    ) -> Indices:
        return _highest(scores(proba), labeled, batch_size, rng)

    return query


def query_hybrid(
    proba: Proba, embeddings: NDArray[np.float32], labeled: NDArray[np.bool_], batch_size: int, rng: np.random.Generator
) -> Indices:
    """Uncertain texts that differ: the smallest margins, clustered by embedding, one text a cluster.

    The `PREFILTER` × batch_size texts of the smallest margin are clustered into batch_size groups, each text weighing
    as much as it is uncertain; the text nearest to each centre is asked for.
    Source: Zhdanov 2019, Diverse mini-batch active learning, https://arxiv.org/abs/1901.05954, weighted variant.
    """
    from sklearn.cluster import KMeans

    scores = margin_scores(proba)
    candidates = _highest(scores, labeled, PREFILTER * batch_size, rng)
    if len(candidates) <= batch_size:
        return candidates
    points = embeddings[candidates]
    kmeans = KMeans(n_clusters=batch_size, n_init=1, max_iter=20, random_state=int(rng.integers(2**31)))
    distances = kmeans.fit_transform(points, sample_weight=scores[candidates] + 1e-9)  # (n_candidates, n_clusters)
    chosen: list[int] = []
    free = np.ones(len(candidates), dtype=bool)
    for cluster in range(batch_size):  # two centres may share their nearest text: each text is taken once
        nearest = int(np.argmin(np.where(free, distances[:, cluster], np.inf)))
        free[nearest] = False
        chosen.append(nearest)
    asked: Indices = candidates[np.array(chosen)]
    return asked


QUERY_STRATEGIES: dict[str, QueryStrategy] = {
    "random": query_random,
    "entropy": _query_by(entropy_scores),
    "margin": _query_by(margin_scores),
    "least_confidence": _query_by(least_confidence_scores),
    "hybrid": query_hybrid,
}
"""By the names params.yaml knows."""

ALIKE_FOR_TWO = {"entropy": "margin", "least_confidence": "margin"}
"""With two classes these rank texts as the other does: all three fall with the larger probability."""


def _highest(scores: NDArray[np.float64], labeled: NDArray[np.bool_], n: int, rng: np.random.Generator) -> Indices:
    """The n unlabelled rows of the highest scores, highest first; ties in random order."""
    pool = rng.permutation(np.flatnonzero(~labeled))
    highest: Indices = pool[np.argsort(-scores[pool], kind="stable")[:n]]
    return highest
