"""Diversity-based query strategies, none of which needs a pool × pool matrix.

Those whose cost is texts × labels asked for look, in a large pool, at a random sample of it: candidates drawn at random
hold texts nearly as good as the best, while the time is that of the sample.
Source: Ertekin et al. 2007, Learning on the border: active learning in imbalanced data classification (small pools),
https://doi.org/10.1145/1321440.1321461.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Embeddings, Indices, Pool, Scores, at_most, chunks, highest, margin_scores

PREFILTER = 10
"""The hybrid clusters this many times a batch of the most uncertain texts (beta in its paper, which tries 10 to 50)."""
NEIGHBOURS_CONTRASTIVE = 10
"""Labelled texts each candidate is held against, as in the paper."""
NEIGHBOURS_TYPICAL = 20
"""Texts of the same cluster that say how typical one is, as in the paper."""
MOST_CLUSTERS = 200
"""TypiClust makes no more clusters than this (the paper: 500), since the cost of k-means grows with them."""
MOST_CLUSTERED = 20_000
"""TypiClust clusters a random sample of this size where the pool is larger."""
MOST_CANDIDATES = 50_000
"""k-center and BADGE choose from a random sample of this size where the pool is larger."""


def query_k_center(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Texts that leave no other far from a labelled one: again and again the farthest (greedy k-center, core-set).

    With no labels the first is drawn at random. Source: Sener & Savarese 2018, Active learning for convolutional
    neural networks: a core-set approach, algorithm 1, https://arxiv.org/abs/1708.00489.
    """
    rows, size = at_most(MOST_CANDIDATES, pool.unlabeled, batch_size, rng), min(batch_size, len(pool.unlabeled))
    if size == 0:
        return rows[:0]
    points = pool.rows(rows)
    norms = np.square(points).sum(axis=1)
    distances = _to_nearest(points, norms, pool.rows(np.flatnonzero(pool.labeled)))
    free = rng.permutation(len(rows))  # ties go to the first of a random order
    chosen: list[int] = []
    while True:
        farthest = int(free[np.argmax(distances[free])])
        chosen.append(farthest)
        if len(chosen) == size:
            return rows[chosen]
        np.minimum(distances, norms + norms[farthest] - 2 * (points @ points[farthest]), out=distances)
        distances[chosen] = -np.inf


def query_badge(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Texts whose gradients are large and differ: k-means++ seeding on gradients of the last layer.

    The gradient of a text, were its predicted class the true one, is the outer product of (proba − one-hot) and the
    embedding. Distances come from the two factors, so that no gradient is ever written out.
    Source: Ash et al. 2020, Deep batch active learning by diverse, uncertain gradient lower bounds,
    https://arxiv.org/abs/1906.03671; the first centre is the largest gradient, as in the authors' code.
    """
    rows, size = at_most(MOST_CANDIDATES, pool.unlabeled, batch_size, rng), min(batch_size, len(pool.unlabeled))
    if size == 0:
        return rows[:0]
    points, factors = pool.rows(rows), pool.proba[rows].astype(np.float32)  # (n, hidden), (n, n_classes)
    factors[np.arange(len(rows)), factors.argmax(axis=1)] -= 1.0
    norms = np.square(factors).sum(axis=1) * np.square(points).sum(axis=1)
    distances = np.full(len(rows), np.inf, dtype=np.float32)
    chosen = [int(rng.choice(np.flatnonzero(norms == norms.max())))]
    while len(chosen) < size:
        last = chosen[-1]
        products = (points @ points[last]) * (factors @ factors[last])
        np.minimum(distances, norms + norms[last] - 2 * products, out=distances)
        np.maximum(distances, 0.0, out=distances)
        distances[chosen] = 0.0
        chosen.append(_draw(distances, chosen, rng))
    return rows[chosen]


def query_contrastive(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Texts that the model judges unlike their labelled neighbours: the largest mean KL divergence from them.

    Without labels there are no neighbours, and every text is as good as another.
    Source: Margatina et al. 2021, Active learning by acquiring contrastive examples,
    https://aclanthology.org/2021.emnlp-main.51.
    """
    rows, labeled = pool.unlabeled, np.flatnonzero(pool.labeled)
    scores = np.zeros(len(rows))
    n_neighbours = min(NEIGHBOURS_CONTRASTIVE, len(labeled))
    if n_neighbours:
        known, logs = pool.rows(labeled), np.log(np.maximum(pool.proba, 1e-12))
        half = np.square(known).sum(axis=1) / 2
        plain = (pool.proba[labeled] * logs[labeled]).sum(axis=1)  # sum of p log p of each labelled text
        for part in chunks(len(rows), 4096):
            nearness = pool.rows(rows[part]) @ known.T - half  # (chunk, n_labeled), orders as the distance does
            near = np.argpartition(-nearness, n_neighbours - 1, axis=1)[:, :n_neighbours]
            cross = np.einsum("cnk,ck->cn", pool.proba[labeled][near], logs[rows[part]])
            scores[part] = (plain[near] - cross).mean(axis=1)
    return highest(scores, rows, batch_size, rng)


def query_typiclust(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """The most typical text of each of the largest clusters that hold no label: for a start with few labels or none.

    As many clusters as there will be labels; typicality is the inverse mean distance to the nearest texts of the same
    cluster. When every cluster holds a label, those with the fewest labels come first.
    Source: Hacohen et al. 2022, Active learning on a budget: opposite strategies suit high and low budgets,
    https://arxiv.org/abs/2202.02794.
    """
    rows, labeled = pool.unlabeled, np.flatnonzero(pool.labeled)
    if len(rows) <= batch_size or batch_size == 0:
        return rng.permutation(rows)[:batch_size]
    sample = at_most(MOST_CLUSTERED, rows, batch_size, rng)
    points = pool.rows(np.concatenate([sample, labeled]))
    n_clusters = min(len(labeled) + batch_size, MOST_CLUSTERS, len(points))
    clusters = _cluster(points, n_clusters, np.ones(len(points)), rng)[1]
    of_sample, n_labeled = clusters[: len(sample)], np.bincount(clusters[len(sample) :], minlength=n_clusters)
    members = [np.flatnonzero(of_sample == cluster) for cluster in range(n_clusters)]
    ranked: list[Indices] = []  # of each cluster, its texts by falling typicality
    for inside in members:
        order = rng.permutation(len(inside))
        ranked.append(inside[order][np.argsort(-_typicality(points[inside[order]]), kind="stable")])
    taken = np.zeros(n_clusters, dtype=int)
    chosen: list[int] = []
    while len(chosen) < batch_size:
        left = np.array([len(inside) for inside in members]) - taken
        open_clusters = np.flatnonzero(left > 0)
        fewest, largest = (n_labeled + taken)[open_clusters], left[open_clusters]
        cluster = int(open_clusters[np.lexsort((-largest, fewest))[0]])
        chosen.append(int(ranked[cluster][taken[cluster]]))
        taken[cluster] += 1
    return sample[chosen]


def query_hybrid(pool: Pool, batch_size: int, rng: np.random.Generator) -> Indices:
    """Uncertain texts that differ: the smallest margins, clustered by embedding, one text a cluster.

    The `PREFILTER` × batch_size texts of the smallest margin are clustered into batch_size groups, each text weighing
    as much as it is uncertain; the text nearest to each centre is asked for.
    Source: Zhdanov 2019, Diverse mini-batch active learning, https://arxiv.org/abs/1901.05954, weighted variant.
    """
    rows = pool.unlabeled
    scores = margin_scores(pool.proba[rows])
    candidates = highest(scores, np.arange(len(rows)), PREFILTER * batch_size, rng)
    if len(candidates) <= batch_size:
        return rows[candidates]
    points = pool.rows(rows[candidates])
    distances = _cluster(points, batch_size, scores[candidates] + 1e-9, rng)[0]  # (n_candidates, n_clusters)
    chosen: list[int] = []
    for cluster in range(batch_size):  # two centres may share their nearest text: each text is taken once
        chosen.append(int(np.argmin(distances[:, cluster])))
        distances[chosen[-1]] = np.inf
    return rows[candidates[chosen]]


def _to_nearest(points: Embeddings, norms: NDArray[np.float32], centers: Embeddings) -> NDArray[np.float32]:
    """Squared distance of each point to its nearest centre, (n,); infinite without centres."""
    distances = np.full(len(points), np.inf, dtype=np.float32)
    of_centers = np.square(centers).sum(axis=1)
    for part in chunks(len(points)) if len(centers) else ():
        for some in chunks(len(centers), 2048):
            products = points[part] @ centers[some].T  # (chunk, n_centers)
            nearest = norms[part] + (of_centers[some] - 2 * products).min(axis=1)
            np.minimum(distances[part], nearest, out=distances[part])
    return distances


def _cluster(
    points: Embeddings, n_clusters: int, weights: Scores, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Indices]:
    """Distances to each centre (n, n_clusters) and the cluster of each point (n,), by k-means.

    Fewer distinct points than clusters leave clusters empty, which is no fault here.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    kmeans = KMeans(n_clusters=n_clusters, n_init=1, max_iter=20, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        distances = kmeans.fit_transform(points, sample_weight=weights)
    return distances, kmeans.labels_.astype(np.int64)


def _typicality(points: Embeddings) -> Scores:
    """Inverse mean distance of each point to its nearest others, (n,); infinite for a point alone."""
    n = len(points)
    if n < 2:
        return np.full(n, np.inf)
    n_near, norms = min(NEIGHBOURS_TYPICAL, n - 1), np.square(points).sum(axis=1)
    typicality = np.empty(n)
    for part in chunks(n, 2048):
        distances = np.sqrt(np.maximum(norms[part, None] + norms - 2 * points[part] @ points.T, 0.0))
        near = np.partition(distances, n_near, axis=1)[:, : n_near + 1]  # itself is among them, at 0
        typicality[part] = n_near / np.maximum(near.sum(axis=1), 1e-12)
    return typicality


def _draw(distances: NDArray[np.float32], chosen: list[int], rng: np.random.Generator) -> int:
    """A row drawn with a probability in proportion to its squared distance; any free one when all are 0."""
    mass = np.cumsum(distances, dtype=np.float64)
    if mass[-1] <= 0:
        return int(rng.choice(np.setdiff1d(np.arange(len(distances)), chosen)))
    return int(np.searchsorted(mass, rng.random() * mass[-1], side="right"))
