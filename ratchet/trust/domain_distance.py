"""Whether a text is from elsewhere, by where its embedding lies among those of the training texts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, proportion_estimate, weights
from ratchet.measure.detection import auroc

Vectors = NDArray[np.float32]
Scores = NDArray[np.float64]
BLOCK = 512
"""Texts whose similarities with all reference texts are held in memory at once."""


def nearest_distances(reference: Vectors, vectors: Vectors) -> Scores:
    """1 − the cosine with the nearest reference text, (n,), in [0, 2]; 0: one like it is among them.

    Source: Sun et al. 2022, Out-of-distribution detection with deep nearest neighbors,
    https://arxiv.org/abs/2204.06507, with k = 1.

    >>> plane = np.array([[1, 0], [0, 2]], dtype=np.float32)
    >>> nearest_distances(plane, np.array([[3, 0], [-1, 0]], dtype=np.float32)).tolist()
    [0.0, 1.0]
    """
    known, asked = _unit(reference), _unit(vectors)
    similar = [(asked[start : start + BLOCK] @ known.T).max(axis=1) for start in range(0, len(asked), BLOCK)]
    return 1 - np.concatenate([*similar, np.zeros(0)]).astype(np.float64)


def mahalanobis_distances(reference: Vectors, vectors: Vectors) -> Scores:
    """The distance to the mean of the reference texts in units of their spread, (n,), at least 0.

    Source: Lee et al. 2018, https://arxiv.org/abs/1807.03888; the covariance is shrunk as by Ledoit & Wolf 2004,
    https://doi.org/10.1016/S0047-259X(03)00096-4, by scikit-learn.
    """
    from sklearn.covariance import LedoitWolf

    mean = reference.mean(axis=0, dtype=np.float64)
    fitted = LedoitWolf(assume_centered=True).fit(reference - mean)
    distances: Scores = np.sqrt(np.maximum(fitted.mahalanobis(vectors - mean), 0))
    return distances


def untypical(distances: Scores, held_out: Scores) -> Scores:
    """How far towards either end of held-out distances these lie, (n,), in [0, 1]: too near is as untypical as too far.

    |2 F − 1| with F the share of held-out distances below. In many dimensions hardly a text of the domain is near the
    mean, but a long text may be: its embedding averages many words.
    Source: Nalisnick et al. 2019, Detecting out-of-distribution inputs using a test for typicality,
    https://arxiv.org/abs/1906.02994.

    >>> untypical(np.array([-1.0, 2.5, 9.0]), np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [1.0, 0.0, 1.0]
    """
    below = np.searchsorted(np.sort(held_out), distances, side="left") / max(1, len(held_out))
    scores: Scores = np.abs(2 * below - 1)
    return scores


def threshold_at(held_out: Scores, false_alarm_rate: float) -> float:
    """The score above which a text is flagged: a new text of the domain is with at most this probability.

    The k-th smallest of n held-out scores, k = ⌈(n + 1)(1 − rate)⌉; infinite where n is too small to say.
    Source: Bates et al. 2023, Testing for outliers with conformal p-values, https://arxiv.org/abs/2104.08279.

    >>> threshold_at(np.arange(1.0, 20.0), 0.05), threshold_at(np.arange(1.0, 19.0), 0.05)
    (19.0, inf)
    """
    rank = math.ceil((len(held_out) + 1) * (1 - false_alarm_rate))
    return float(np.sort(held_out)[rank - 1]) if rank <= len(held_out) else math.inf


def flag_figures(
    held_out: Scores, inside: Scores, outside: Scores, false_alarm_rate: float, w_inside: Weights, w_outside: Weights
) -> dict[str, Any]:
    """What a score is worth as a flag: `auroc`, and at the threshold `detection_rate` and `false_alarm_rate`.

    Args:
        held_out: scores of texts of the domain that set the threshold, (n_held_out,).
        inside: scores of other texts of the domain, (n_inside,).
        outside: scores of texts from elsewhere, (n_outside,); without any, the figures on them are undefined.
        false_alarm_rate: see `threshold_at`.
        w_inside: resampling weights of the AUROC, (n_draws, n_inside).
        w_outside: the same, (n_draws, n_outside).
    """
    threshold = threshold_at(held_out, false_alarm_rate)
    return {
        "threshold": threshold,
        "auroc": auroc(inside, outside, w_inside, w_outside).to_json(),
        "detection_rate": proportion_estimate(int((outside > threshold).sum()), len(outside)).to_json(),
        "false_alarm_rate": proportion_estimate(int((inside > threshold).sum()), len(inside)).to_json(),
    }


def distance_figures(
    vectors: Mapping[str, Vectors], false_alarm_rate: float, n_draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """`flag_figures` of the nearest training text, of the Mahalanobis distance, and of its being untypical.

    Args:
        vectors: embeddings (n, hidden) of the `train` texts, which are the reference, of the `validation` texts, which
            set the threshold, and of `test` and `transfer` texts, on which it is measured.
        false_alarm_rate: see `threshold_at`.
        n_draws: bootstrap draws.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    w_inside, w_outside = (weights(len(vectors[name]), n_draws, rng) for name in ("test", "transfer"))

    def figures(scores: Mapping[str, Scores]) -> dict[str, Any]:
        return flag_figures(
            scores["validation"], scores["test"], scores["transfer"], false_alarm_rate, w_inside, w_outside
        )

    asked = {name: vectors[name] for name in ("validation", "test", "transfer")}
    nearest = {name: nearest_distances(vectors["train"], part) for name, part in asked.items()}
    far = dict(
        zip(
            asked,
            _split(mahalanobis_distances(vectors["train"], np.concatenate([*asked.values()])), asked),
            strict=True,
        )
    )
    odd = {name: untypical(part, far["validation"]) for name, part in far.items()}
    return {
        "nearest training text": figures(nearest),
        "Mahalanobis distance": figures(far),
        "untypical Mahalanobis distance": figures(odd),
    }


def _split(scores: Scores, parts: Mapping[str, Vectors]) -> list[Scores]:
    return np.split(scores, np.cumsum([len(part) for part in parts.values()])[:-1])


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
