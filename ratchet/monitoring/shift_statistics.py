"""Two-sample statistics of a window against the reference: four norms of one difference.

Every statistic is a norm of a linear function of the weights `d`: 1/n for the rows of the window, −1/m for those of
the reference, 0 for the rest. Thousands of random splits of a reference, and a window against it, are judged by the
same lines. Each is multiplied by √(n·m / (n + m)), so that its distribution under no drift hardly depends on the sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
Values = NDArray[np.float64]


def weights(window: NDArray[np.bool_], reference: NDArray[np.bool_]) -> tuple[Weights, NDArray[np.float64]]:
    """The weights `d`, (n_splits, n_rows), and the scale √(n·m / (n + m)) of each split, (n_splits,).

    Args:
        window: rows of the window in each split, (n_splits, n_rows).
        reference: rows of the reference, the same shape.
    """
    n, m = window.sum(axis=1, keepdims=True), reference.sum(axis=1, keepdims=True)
    d = (window / n - reference / m).astype(np.float32)
    return d, np.sqrt(n * m / (n + m))[:, 0]


def kolmogorov_smirnov(values: Values, d: Weights) -> Values:
    """Largest distance of the two distribution functions, (n_splits,), in [0, 1]; 0: the same.

    Source: Smirnov 1948, https://doi.org/10.1214/aoms/1177730256.

    >>> d, _ = weights(np.array([[1, 1, 0, 0]], bool), np.array([[0, 0, 1, 1]], bool))
    >>> kolmogorov_smirnov(np.array([1.0, 2.0, 3.0, 4.0]), d).tolist()
    [1.0]
    """
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)  # equal values rise together
    distance: Values = np.abs(np.cumsum(d[:, order], axis=1)[:, ends]).max(axis=1).astype(np.float64)
    return distance


def wasserstein(values: NDArray[Any], d: Weights) -> Values:
    """Mean distance that probability has to travel, averaged over the columns, (n_splits,); 0: the same.

    Args:
        values: (n_rows, n_columns).
        d: weights, (n_splits, n_rows).

    Source: Ramdas, García Trillos & Cuturi 2017, https://arxiv.org/abs/1509.02237 (area between the two functions).
    """
    total = np.zeros(len(d))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        rises = np.abs(np.cumsum(d[:, order], axis=1)[:, :-1])
        total += rises @ np.diff(column[order]).astype(np.float32)
    average: Values = total / values.shape[1]
    return average


def maximum_mean_discrepancy(features: NDArray[np.float32], d: Weights) -> Values:
    """Distance of the two mean embeddings in a kernel's space, (n_splits,); 0: the same.

    Args:
        features: random Fourier features, (n_rows, n_features), see `ratchet.monitoring.features`.
        d: weights, (n_splits, n_rows).

    Source: Gretton et al. 2012, https://jmlr.org/papers/v13/gretton12a.html.
    """
    distance: Values = np.linalg.norm(d @ features, axis=1).astype(np.float64)
    return distance
