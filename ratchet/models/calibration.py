"""Calibration by temperature scaling, folded into the weights so that no predictor has to know."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.examples import Examples
from ratchet.models.forward import logits_of
from ratchet.models.predictor import softmax


def fit_temperature(logits: NDArray[Any], y_true: NDArray[np.int64]) -> float:
    """The temperature that makes the logits, (n, n_classes), likeliest; 1: as they are, above 1: they were too sure.

    Dividing by it changes no prediction. Source: Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    >>> sure = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    >>> fit_temperature(sure, np.array([0, 0, 1, 0])) > 2  # sure every time, right three times in four
    True
    """
    from scipy.optimize import minimize_scalar

    def negative_log_likelihood(log_temperature: float) -> float:
        proba = softmax(logits / np.exp(log_temperature))[np.arange(len(y_true)), y_true]
        return float(-np.log(np.maximum(proba, 1e-300)).mean())

    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=(-2.5, 2.5), method="bounded").x))


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide the classification head's weights and bias by the temperature, in place: the logits are divided too."""
    import torch

    heads = [part for part in model.modules() if isinstance(part, torch.nn.Linear)]
    head = [part for part in heads if part.out_features == model.config.num_labels][-1]
    with torch.no_grad():
        head.weight.div_(temperature)
        head.bias.div_(temperature)


def calibrate(model: Any, validation: Examples) -> float:
    """Fit a temperature on labelled texts the model did not learn from, and fold it in; the temperature."""
    temperature = fit_temperature(logits_of(model, validation.tokens), validation.hard)
    fold_temperature(model, temperature)
    return temperature
