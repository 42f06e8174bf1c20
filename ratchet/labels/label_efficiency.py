"""Label-efficiency curves: the primary metric by number of labels for each query strategy, over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ratchet.labels.active_learning import Plan, learn, query_sizes
from ratchet.labels.query_strategies import ALIKE_FOR_TWO, QUERY_STRATEGIES
from ratchet.measure.estimate import Estimate, undefined
from ratchet.measure.primary import PrimaryMetric

N_DRAWS = 1000
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """The metric on held-out texts by strategy, (n_seeds, n_rounds), after the same numbers of labels (n_rounds,)."""

    n_labels: list[int]
    scores: dict[str, Scores]
    metric: PrimaryMetric


def label_efficiency(
    pool: tuple[NDArray[np.float32], NDArray[np.int64]],
    held_out: tuple[NDArray[np.float32], NDArray[np.int64]],
    metric: PrimaryMetric,
    sizes: tuple[int, int, int],
    strategies: Sequence[str],
    model: tuple[float, bool],
    n_seeds: int,
    seed: int,
) -> Curves:
    """Each query strategy learning from the same random first labels, seed by seed; those that rank alike run once.

    Args:
        pool: embeddings (n_pool, hidden) and hidden classes (n_pool,).
        held_out: the same of the texts on which the metric is measured.
        metric: by which strategies are compared; its classes are those of the texts.
        sizes: (labels at random first, labels in all, rounds).
        strategies: names of `QUERY_STRATEGIES`; random is compared with in any case.
        model: of the selection model, (inverse regularization, whether it weighs each class the same).
        n_seeds: repetitions; each strategy starts from the same first labels in each.
        seed: of all randomness.
    """
    n_initial, n_labels, n_rounds = sizes
    steps = query_sizes(n_initial, min(n_labels, len(pool[0])), n_rounds)
    n_classes = len(metric.classes)
    alike = ALIKE_FOR_TWO if n_classes == 2 else {}
    names = dict.fromkeys(["random", *strategies])
    scores: dict[str, Scores] = {}
    for name in dict.fromkeys(alike.get(name, name) for name in names):
        rows = []
        for repetition in range(n_seeds):
            plan = Plan(QUERY_STRATEGIES[name], steps, *model)
            rounds = learn(*pool, n_classes, plan, np.random.default_rng([seed, repetition]))
            rows.append([metric.value(held_out[1], fitted(held_out[0])) for _, fitted in rounds])
        scores[name] = np.array(rows)
    return Curves(np.cumsum(steps).tolist(), {name: scores[alike.get(name, name)] for name in names}, metric)


def curve_table(curves: Curves | None) -> pd.DataFrame:
    """One row per strategy and number of labels: strategy, n_labels, score, low, high (95 %, over seeds).

    No row where no strategies were compared.
    """
    rows = []
    if curves:
        for name, scores in curves.scores.items():
            for index, n_labels in enumerate(curves.n_labels):
                estimate = seed_estimate(scores[:, index], curves.metric.bounds)
                rows.append((name, n_labels, estimate.value, estimate.low, estimate.high))
    return pd.DataFrame(rows, columns=["strategy", "n_labels", "score", "low", "high"])


def seed_estimate(values: NDArray[np.float64], bounds: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The mean over seeds (n_seeds,) with Student's t interval, cut to the bounds; one seed has no interval (NaN).

    It says how much the choice of labels moves the mean; the held-out texts are the same for all seeds.
    Source: Student 1908, https://doi.org/10.1093/biomet/6.1.1.
    """
    from scipy.stats import t

    n, mean = len(values), float(values.mean())
    if n < 2:
        return Estimate(mean, float("nan"), float("nan"), n, "one seed has no spread")
    half = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]), n)


def labels_to_reach(curves: Curves, seed: int, reference: str = "random") -> Mapping[str, Estimate]:
    """For each strategy, how many labels it needs for the score that `reference` has with all of them.

    The mean curve over seeds is made monotone by isotonic regression and read off by linear interpolation. The
    interval resamples seeds, the same ones for both strategies; a resample that never gets there counts as the
    largest number of labels, so an interval that ends there is open above. Undefined (NaN) when the mean never does.
    """
    n_seeds, most = len(curves.scores[reference]), float(curves.n_labels[-1])
    drawn = np.sort(np.random.default_rng(seed).integers(0, n_seeds, size=(N_DRAWS, n_seeds)), axis=1)
    resamples, which = np.unique(drawn, axis=0, return_inverse=True)  # with few seeds the same one comes often
    estimates = {}
    rising = {name: scores if curves.metric.greater_is_better else -scores for name, scores in curves.scores.items()}
    target = rising[reference]
    for name, scores in rising.items():
        value = _crossing(curves.n_labels, scores.mean(axis=0), target.mean(axis=0))
        if np.isnan(value):
            estimates[name] = undefined(f"not reached with {most:.0f} labels", n_seeds)
            continue
        crossings = [
            _crossing(curves.n_labels, scores[rows].mean(axis=0), target[rows].mean(axis=0)) for rows in resamples
        ]
        low, high = np.percentile(np.nan_to_num(crossings, nan=most)[which], [2.5, 97.5])
        estimates[name] = Estimate(value, min(float(low), value), max(float(high), value), n_seeds)
    return estimates


def _crossing(n_labels: Sequence[int], curve: Scores, reference: Scores) -> float:
    """The number of labels at which a curve (n_rounds,) first has the reference's last score; NaN if never."""
    from sklearn.isotonic import IsotonicRegression

    smooth, target = (IsotonicRegression().fit_transform(n_labels, scores) for scores in (curve, reference))
    reached = np.flatnonzero(smooth >= target[-1] - 1e-12)
    if len(reached) == 0:
        return float("nan")
    at = int(reached[0])
    if at == 0:
        return float(n_labels[0])
    share = (target[-1] - smooth[at - 1]) / (smooth[at] - smooth[at - 1])
    return float(n_labels[at - 1] + share * (n_labels[at] - n_labels[at - 1]))
