"""Slices of production traffic against the same slices of the reference, without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.live.estimates import Estimator, estimate_accuracy
from ratchet.live.findings import Finding

Groups = Mapping[str, NDArray[np.str_]]


def judge_slices(
    proba: NDArray[np.float64], groups: Groups, reference_proba: NDArray[np.float64], reference_groups: Groups,
    labels: list[str], fitted: Estimator, min_size: int, alpha: float,
) -> tuple[dict[str, Any], list[Finding]]:  # fmt: skip
    """Figures of each slice, and the slices in which a class is predicted otherwise than in the reference.

    Each slice and class is a test of two proportions; over all of them, the probability that any of those without
    change is reported is at most `alpha` (Holm 1979). The gap between the slices of a feature, in selection rate and in
    estimated accuracy, is the fairness figure of production: what `audit` measures with labels.

    Args:
        proba: of the window, (n, n_classes).
        groups: feature → slice of each of its rows, (n,).
        reference_proba: of the reference, (m, n_classes).
        reference_groups: feature → slice of each of its rows, (m,).
        labels: class names.
        fitted: estimator of accuracy.
        min_size: smaller slices, here or there, are left out.
        alpha: see above.
    """
    figures: dict[str, Any] = {}
    tests: list[tuple[str, str, float, float, float]] = []
    y, y_reference = proba.argmax(axis=1), reference_proba.argmax(axis=1)
    for feature in groups:
        for group in sorted(set(groups[feature].tolist())):
            here, there = groups[feature] == group, reference_groups[feature] == group
            if min(here.sum(), there.sum()) < min_size:
                continue
            name = f"{feature}={group}"
            rates = {label: float((y[here] == index).mean()) for index, label in enumerate(labels)}
            accuracy = estimate_accuracy(proba[here], fitted)["cbpe"]
            figures[name] = {"n": int(here.sum()), "selection_rate": rates, "accuracy_estimate": accuracy.to_json()}
            for index, label in enumerate(labels[1:] if len(labels) == 2 else labels, start=len(labels) == 2):
                hits, hits_reference = y[here] == index, y_reference[there] == index
                tests.append((name, label, rates[label], float(hits_reference.mean()), _p(hits, hits_reference)))
    return {"slices": figures, "gaps": _gaps(figures, labels)}, _report(tests, alpha)


def _p(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Two-sided p-value of equal proportions: Boschloo's is sharper, the chi-square with continuity safe and quick."""
    from scipy.stats import chi2_contingency

    table = np.array([[a.sum(), (~a).sum()], [b.sum(), (~b).sum()]])
    if (table.sum(axis=0) == 0).any():
        return 1.0
    return float(chi2_contingency(table, correction=True).pvalue)


def _report(tests: list[tuple[str, str, float, float, float]], alpha: float) -> list[Finding]:
    findings = []
    for place, (name, label, here, there, p) in enumerate(sorted(tests, key=lambda test: test[4])):
        if p > alpha / (len(tests) - place):
            break
        findings.append(Finding(
            "slice", f"{name}.{label}", "warning",
            f"'{label}' is predicted for {100 * here:.0f} % of {name}, for {100 * there:.0f} % in the reference.",
            {"rate": here, "reference": there, "p": p},
        ))  # fmt: skip
    return findings


def _gaps(figures: dict[str, Any], labels: list[str]) -> dict[str, dict[str, float]]:
    """Feature → largest minus smallest of its slices, of estimated accuracy and of the rate of each class."""
    features = sorted({name.partition("=")[0] for name in figures})
    gaps = {}
    for feature in features:
        mine = [item for name, item in figures.items() if name.startswith(f"{feature}=")]
        if len(mine) < 2:
            continue
        accuracies = [item["accuracy_estimate"]["value"] for item in mine]
        rates = [[item["selection_rate"][label] for item in mine] for label in labels]
        gaps[feature] = {
            "accuracy_estimate": max(accuracies) - min(accuracies),
            "selection_rate": max(max(values) - min(values) for values in rates),
        }
    return gaps
