"""When to stop asking for labels before the budget is spent."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ratchet.labels.kappa import cohen_kappa
from ratchet.labels.pool import Indices, Proba

StoppingCriterion = Literal["budget", "stable_predictions", "kappa"]


class Stopping:
    """Decides, after each round, whether more labels would still change the selection model's predictions.

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
        """Kappa of each model and the one before it; NaN, which never stops, where both predict one class alone."""
        self._before: Indices | None = None

    def enough(self, proba: Proba) -> bool:
        """Whether to stop after the model that gives the stop set these probabilities, (n, n_classes).

        A uniform row, of a model that knows one class only, is no prediction: such a round counts as disagreement.
        """
        predicted = proba.argmax(axis=1)
        knows = bool((proba.max(axis=1) > proba.min(axis=1)).any())
        if self._before is not None:
            self.agreements.append(cohen_kappa(self._before, predicted) if knows else 0.0)
        self._before = predicted if knows else None
        last = self.agreements[-self.patience :]
        if self.criterion == "budget" or len(last) < self.patience:
            return False
        agreement = min(last) if self.criterion == "kappa" else float(np.mean(last))
        return agreement > self.threshold
