"""When to stop asking for labels before the budget is spent."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.pool import Indices, Proba

StoppingCriterion = Literal["budget", "stable_predictions", "kappa"]


def kappa(first: Indices, second: Indices, n_classes: int) -> float:
    """Cohen's kappa of two classifications of the same texts (n,): 1 for the same, 0 for agreement by chance alone.

    NaN for no texts. Where both give one same class to every text, agreement by chance is certain, and kappa is 1.
    Source: Cohen 1960, https://doi.org/10.1177/001316446002000104.

    >>> kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]), 2)
    0.5
    """
    if len(first) == 0:
        return float("nan")
    counts = np.bincount(first * n_classes + second, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
    shares: NDArray[np.float64] = counts / len(first)
    agreed, by_chance = float(np.trace(shares)), float(shares.sum(axis=1) @ shares.sum(axis=0))
    return 1.0 if by_chance == 1.0 else (agreed - by_chance) / (1.0 - by_chance)


class Stopping:
    """Decides, after each round, whether more labels would still change what the selection model says.

    `budget` never stops early. The others look at how the predictions of a fixed set of texts change from round to
    round; none looks at a label, so that no label is spent on the decision:

    - `kappa` stops when the agreement of two successive models exceeds the threshold, `patience` times in a row.
    - `stable_predictions` stops when the mean agreement of the last `patience` rounds exceeds it: one
      unstable round among steady ones does not start the count again. The published value is 0.99 over 3 rounds.

    Source: Bloodgood & Vijay-Shanker 2009, A method for stopping active learning based on stabilizing predictions and
    the need for user-adjustable stopping, https://aclanthology.org/W09-1107.
    """

    def __init__(self, criterion: StoppingCriterion, threshold: float, patience: int) -> None:
        self.criterion, self.threshold, self.patience = criterion, threshold, patience
        self.agreements: list[float] = []
        """Kappa between each model and the one before it."""
        self._before: Indices | None = None

    def enough(self, proba: Proba) -> bool:
        """Whether to stop after the model that gives the stop set these probabilities, (n, n_classes).

        A uniform row, of a model that knows one class only, is no prediction: such a round counts as disagreement.
        """
        predicted = proba.argmax(axis=1)
        knows = bool((proba.max(axis=1) > proba.min(axis=1)).any())
        if self._before is not None:
            self.agreements.append(kappa(self._before, predicted, proba.shape[1]) if knows else 0.0)
        self._before = predicted if knows else None
        last = self.agreements[-self.patience :]
        if self.criterion == "budget" or len(last) < self.patience:
            return False
        agreement = min(last) if self.criterion == "kappa" else float(np.mean(last))
        return agreement > self.threshold
