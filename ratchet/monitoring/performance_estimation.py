"""Performance estimation without labels, from the predicted probabilities, by three methods.

All hold only as far as the probabilities keep their meaning: where texts change so that the model is confidently wrong,
no estimate can see it. `make bench-drift` measures how far each is off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.estimate import Estimate, undefined
from ratchet.models.calibration import fit_temperature
from ratchet.models.predictor import Proba, softmax


@dataclass(frozen=True)
class Estimator:
    """Calibration of the probabilities on the labelled reference."""

    temperature: float
    """Divides log-probabilities so that they fit the reference's labels."""
    threshold: float
    """Confidence that as large a share of the reference lies below as is wrong."""
    accuracy: float
    """Of the reference."""
    confidence: float
    """Mean over the reference, after scaling."""
    n: int
    """Labelled rows of the reference."""


def fit_estimator(proba: Proba, y_true: NDArray[np.int64]) -> Estimator:
    """The estimator of labelled texts that the model did not learn from: probabilities (n, n_classes), classes (n,)."""
    temperature = fit_temperature(np.log(np.maximum(proba, 1e-12)), y_true)
    correct = proba.argmax(axis=1) == y_true
    confidence = _confidence(proba, temperature)
    threshold = float(np.quantile(confidence, 1 - correct.mean()))
    return Estimator(temperature, threshold, float(correct.mean()), float(confidence.mean()), len(y_true))


def estimate_accuracy(proba: Proba, fitted: Estimator) -> dict[str, Estimate]:
    """Accuracy on these texts, (n, n_classes), by three methods; undefined without texts.

    - `cbpe`: the mean confidence after temperature scaling. Source: NannyML's CBPE, "confidence-based performance
      estimation", https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html.
    - `atc`: the share above the threshold that on the reference separates as many as are right. Source: Garg et al.
      2022, https://arxiv.org/abs/2201.04234.
    - `doc`: the reference's accuracy, less the fall of mean confidence. Source: Guillory et al. 2021,
      https://arxiv.org/abs/2107.03315.

    Intervals cover the choice of texts of the window and of the reference, not a change of what probabilities mean.
    """
    from scipy.stats import norm

    n = len(proba)
    if n == 0:
        return dict.fromkeys(("cbpe", "atc", "doc"), undefined("there are no texts"))
    confidence = _confidence(proba, fitted.temperature)
    values = {
        "cbpe": float(confidence.mean()),
        "atc": float((confidence >= fitted.threshold).mean()),
        "doc": fitted.accuracy - (fitted.confidence - float(confidence.mean())),
    }
    of_reference = fitted.accuracy * (1 - fitted.accuracy) / fitted.n
    half = norm.ppf(0.975) * float(np.sqrt((confidence * (1 - confidence)).mean() / n + of_reference))
    return {
        name: Estimate(float(np.clip(value, 0, 1)), max(0.0, value - half), min(1.0, value + half), n)
        for name, value in values.items()
    }


def _confidence(proba: Proba, temperature: float) -> NDArray[np.float64]:
    confidence: NDArray[np.float64] = softmax(np.log(np.maximum(proba, 1e-12)) / temperature).max(axis=1)
    return confidence
