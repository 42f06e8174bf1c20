"""Cohen's kappa, of people and of models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cohen_kappa(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Agreement beyond chance of two classifications of the same texts, (n_texts,) each, in [-1, 1].

    1: they always agree, 0: as often as their class rates would by chance, NaN: no texts, or both gave one and the same
    class throughout, where chance alone agrees always.
    Source: Cohen 1960, A coefficient of agreement for nominal scales, https://doi.org/10.1177/001316446002000104.

    >>> cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    0.5
    """
    from sklearn.metrics import cohen_kappa_score

    if len(np.union1d(first, second)) < 2:
        return float("nan")
    return float(cohen_kappa_score(first, second))
