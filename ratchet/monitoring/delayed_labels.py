"""Performance from delayed labels of a random sample, by a cumulative sum of the errors.

Its bound is set by simulation, so that without a change it alarms within a stated number of labels with a stated
probability. That holds for texts that people were asked about at random. What users correct by themselves is joined by
request id and counted, and goes into no sum: people correct what is wrong more often than they confirm what is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import ece_estimate, proportion_estimate, weights
from ratchet.measure.estimate import Estimate

if TYPE_CHECKING:
    import pyarrow

N_PATHS = 2000
N_BINS, N_DRAWS = 10, 500


@dataclass(frozen=True)
class LateLabels:
    """Answers of which the right class is known, in the order in which it became known; n each."""

    wrong: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    """Probability of the class that was answered."""

    def accuracy(self) -> Estimate:
        """Share of right answers, with Wilson's interval."""
        return proportion_estimate(int((~self.wrong).sum()), len(self.wrong))

    def calibration(self, seed: int) -> Estimate:
        """Expected calibration error."""
        w = weights(len(self.wrong), N_DRAWS, np.random.default_rng(seed))
        return ece_estimate(~self.wrong, self.confidence, N_BINS, w)


def join_labels(predictions: pyarrow.Table, feedback: pyarrow.Table) -> LateLabels:
    """The corrections that name a request of these predictions; the last one on a request counts."""
    import pandas as pd

    asked = predictions.select(["request_id", "predicted", "confidence"]).to_pandas().drop_duplicates("request_id")
    given = feedback.select(["timestamp", "request_id", "kind", "label"]).to_pandas()
    given = given[(given["kind"] == "correction") & given["label"].notna()].sort_values("timestamp", kind="stable")
    both = given.drop_duplicates("request_id", keep="last").merge(pd.DataFrame(asked), on="request_id")
    return LateLabels(
        (both["label"] != both["predicted"]).to_numpy(dtype=bool), both["confidence"].to_numpy(dtype=np.float64)
    )


@dataclass(frozen=True)
class Cusum:
    """A cumulative sum of log-likelihood ratios, restarted at 0."""

    highest: float
    """The largest value it has reached."""
    bound: float
    """From here on it alarms."""
    alarm_at: int | None
    """The label at which it first did, from 1; None: it did not."""


def cusum(wrong: NDArray[np.bool_], usual: float, rise: float, horizon: int, alpha: float, seed: int) -> Cusum:
    """Whether errors have become more frequent.

    Args:
        wrong: in the order of time, (n,).
        usual: error rate without a change, in (0, 1).
        rise: the change that it is tuned for.
        horizon: labels within which it alarms with probability `alpha` if nothing changed.
        alpha: that probability.
        seed: of the simulation that sets the bound.

    Source: Page 1954, https://doi.org/10.1093/biomet/41.1-2.100.
    """
    usual = min(max(usual, 1e-3), 0.98)
    changed = min(usual + rise, 0.99)
    path = cusum_path(wrong[None], usual, changed)[0]
    bound = cusum_bound(round(usual, 4), round(changed, 4), horizon, alpha, seed)
    beyond = np.flatnonzero(path >= bound)
    return Cusum(float(path.max(initial=0.0)), bound, int(beyond[0]) + 1 if len(beyond) else None)


def cusum_path(wrong: NDArray[np.bool_], usual: float, changed: float) -> NDArray[np.float64]:
    """The sum after each label, (n_paths, n); a sum below 0 starts again at 0.

    >>> cusum_path(np.array([[False, True, False]]), 0.2, 0.5).round(2).tolist()
    [[0.0, 0.92, 0.45]]
    """
    worse, better = float(np.log(changed / usual)), float(np.log((1 - changed) / (1 - usual)))
    steps = wrong * (worse - better) + better
    total: NDArray[np.float64] = np.cumsum(steps, axis=1)
    lowest = np.minimum.accumulate(np.concatenate([np.zeros((len(total), 1)), total], axis=1), axis=1)
    return total - lowest[:, 1:]


@lru_cache(maxsize=16)
def cusum_bound(usual: float, changed: float, horizon: int, alpha: float, seed: int) -> float:
    """The value that the sum exceeds within `horizon` labels, without a change, with probability `alpha`."""
    rng = np.random.default_rng(seed)
    highest = [
        cusum_path(rng.random((100, horizon)) < usual, usual, changed).max(axis=1) for _ in range(N_PATHS // 100)
    ]
    return float(np.quantile(np.concatenate(highest), 1 - alpha))
