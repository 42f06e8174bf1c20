"""Reliability of confidence: reliability bins, calibration with and without temperature, selective accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, ece_estimate, interval_estimate, proportion_estimate, rate_draws
from ratchet.measure.estimate import Estimate, undefined

Mask = NDArray[np.bool_]


def reliability_bins(correct: Mask, confidence: NDArray[np.float64], n_bins: int) -> list[dict[str, Any]]:
    """For each bin of equal width that holds a text: its mean confidence, its accuracy (Wilson), its number of texts.

    Perfect calibration has the accuracy at the mean confidence everywhere.
    Source: DeGroot & Fienberg 1983, https://doi.org/10.2307/2987588; Guo et al. 2017, https://arxiv.org/abs/1706.04599.
    """
    bins = np.minimum((confidence * n_bins).astype(np.int64), n_bins - 1)
    return [
        {
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": proportion_estimate(int(correct[bins == number].sum()), int((bins == number).sum())).to_json(),
        }
        for number in range(n_bins)
        if (bins == number).any()
    ]


def uncalibrated(proba: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The probabilities before they were divided by a temperature: softmax(temperature · log p), (n, n_classes).

    The logits are known up to a shift of each row, which the softmax does not see, so this is exact.

    >>> uncalibrated(np.array([[0.75, 0.25]]), 2.0).round(3).tolist()
    [[0.9, 0.1]]
    """
    logits = temperature * np.log(np.maximum(proba, 1e-300))
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    raised: NDArray[np.float64] = exponent / exponent.sum(axis=1, keepdims=True)
    return raised


def selective_curve(
    correct: Mask, confidence: NDArray[np.float64], coverages: list[float], w: Weights
) -> list[dict[str, Any]]:
    """Accuracy on the share of texts of which the model is surest, by coverage in (0, 1]; 1 is the plain accuracy.

    The texts kept at a coverage are fixed; the interval is over texts like them.
    Source: El-Yaniv & Wiener 2010, https://jmlr.org/papers/v11/el-yaniv10a.html; Geifman & El-Yaniv 2017,
    https://arxiv.org/abs/1705.08500.
    """
    order = np.argsort(-confidence, kind="stable")
    points = []
    for coverage in coverages:
        kept = np.zeros(len(order), dtype=bool)
        kept[order[: max(1, round(coverage * len(order)))]] = True
        accuracy = interval_estimate(float(correct[kept].mean()), rate_draws(correct, kept, w), int(kept.sum()))
        threshold = float(confidence[kept].min())
        points.append({"coverage": coverage, "least_confidence": threshold, "accuracy": accuracy.to_json()})
    return points


def area_under_risk(correct: Mask, confidence: NDArray[np.float64], w: Weights) -> Estimate:
    """Mean error rate over all coverages, in [0, 1]; 0: no error. Errors that are unsure weigh less than sure ones."""
    order = np.argsort(-confidence, kind="stable")
    wrong = ~correct[order]

    def area(weight: NDArray[Any]) -> NDArray[np.float64]:
        kept = np.cumsum(weight, axis=1)  # (n_draws, n), 0 only where nothing has counted yet
        risk = np.cumsum(weight * wrong, axis=1) / np.maximum(kept, 1e-9)
        mean: NDArray[np.float64] = (weight * risk).sum(axis=1) / kept[:, -1]
        return mean

    value = float(area(np.ones((1, len(wrong))))[0])
    return interval_estimate(value, area(w[:, order].astype(np.float64)), len(wrong))


def calibration_before_and_after(
    correct: Mask, proba: NDArray[np.float64], temperature: float | None, n_bins: int, w: Weights
) -> dict[str, Any]:
    """ECE and reliability bins as the bundle is, and as it would be without its temperature; undefined without one.

    The temperature changes no prediction, so both are on the same correct texts.
    """
    after = proba.max(axis=1)
    report: dict[str, Any] = {
        "ece": ece_estimate(correct, after, n_bins, w).to_json(),
        "bins": reliability_bins(correct, after, n_bins),
    }
    before: Estimate = undefined("no temperature was fitted for this bundle", len(after))
    if temperature is not None:
        raw = uncalibrated(proba, temperature).max(axis=1)
        before = ece_estimate(correct, raw, n_bins, w)
        report |= {"temperature": temperature, "bins_before": reliability_bins(correct, raw, n_bins)}
    return {**report, "ece_before": before.to_json()}
