"""Production slices and identity groups against those of the reference, without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import undefined
from ratchet.monitoring.findings import Finding
from ratchet.monitoring.performance_estimation import Estimator, estimate_accuracy
from ratchet.trust.lexicons import Lexicon, lexicon_groups
from ratchet.trust.slices import NO_PATTERNS, Patterns, slice_groups

if TYPE_CHECKING:
    import pandas as pd

Groups = Mapping[str, NDArray[np.str_]]


def production_groups(
    frame: pd.DataFrame,
    slices: Sequence[str],
    length_edges: Sequence[int],
    attributes: Sequence[str],
    lexicon: Lexicon | None,
    patterns: Patterns = NO_PATTERNS,
) -> dict[str, NDArray[np.str_]]:
    """Feature or attribute → the group of each text, (n,): the slices and, with a lexicon, the attributes.

    Raises:
        ParamsError: the lexicon lacks an attribute.
        TableError: a slice is neither known nor a column.
    """
    groups = {name: slice_groups(frame, name, length_edges, patterns) for name in slices}
    if lexicon is None:
        return groups
    texts = frame["text"].tolist()
    return groups | {name: lexicon_groups(texts, lexicon, name) for name in attributes}


def judge_slices(
    proba: NDArray[np.float64],
    groups: Groups,
    reference_proba: NDArray[np.float64],
    reference_groups: Groups,
    labels: list[str],
    fitted: Estimator,
    min_size: int,
    alpha: float,
) -> tuple[dict[str, Any], list[Finding]]:
    """Figures of each slice, and the slices in which a class is predicted otherwise than in the reference.

    Each slice and class is a test of two proportions; over all of them, the probability that any of those without
    change is reported is at most `alpha` (Holm 1979). The gap between the slices of a feature, in selection rate and in
    estimated accuracy, is the fairness figure of production: what `audit` measures with labels. Intervals are Wilson's.

    Args:
        proba: of the window, (n, n_classes).
        groups: feature → slice of each of its rows, (n,).
        reference_proba: of the reference, (m, n_classes).
        reference_groups: feature → slice of each of its rows, (m,). Other features are listed as unknown.
        labels: class names.
        fitted: estimator of accuracy.
        min_size: of a smaller slice, here or there, every rate is NaN with the reason, and nothing is tested.
        alpha: see above.
    """
    figures: dict[str, Any] = {}
    tests: list[tuple[str, str, float, float, float]] = []
    y, y_reference = proba.argmax(axis=1), reference_proba.argmax(axis=1)
    known = [feature for feature in groups if feature in reference_groups]
    for feature in known:
        for group in sorted({*groups[feature].tolist(), *reference_groups[feature].tolist()}):
            here, there = groups[feature] == group, reference_groups[feature] == group
            name, n, n_reference = f"{feature}={group}", int(here.sum()), int(there.sum())
            figures[name] = {"n": n, "n_reference": n_reference, **_rates(proba[here], labels, fitted)}
            if min(n, n_reference) < min_size:
                few = undefined(f"{n} requests and {n_reference} texts of the reference, of {min_size} needed", n)
                rates = dict.fromkeys(labels, few.to_json())
                figures[name] |= {"selection_rate": rates, "accuracy_estimate": few.to_json()}
                continue
            for index, label in enumerate(labels[1:] if len(labels) == 2 else labels, start=len(labels) == 2):
                hits, hits_reference = y[here] == index, y_reference[there] == index
                p = _p(hits, hits_reference)
                tests.append((name, label, float(hits.mean()), float(hits_reference.mean()), p))
    unknown = sorted(set(groups) - set(known))
    report = {"slices": figures, "gaps": _gaps(figures, labels), "not_in_reference": unknown}
    return report, _report(tests, alpha)


def _rates(proba: NDArray[np.float64], labels: list[str], fitted: Estimator) -> dict[str, Any]:
    y = proba.argmax(axis=1)
    rates = {label: proportion_estimate(int((y == index).sum()), len(y)) for index, label in enumerate(labels)}
    return {
        "selection_rate": {label: rate.to_json() for label, rate in rates.items()},
        "accuracy_estimate": estimate_accuracy(proba, fitted)["cbpe"].to_json(),
    }


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
        findings.append(
            Finding(
                "slice",
                f"{name}.{label}",
                "warning",
                f"'{label}' is predicted for {100 * here:.0f} % of {name}, for {100 * there:.0f} % in the reference.",
                {"rate": here, "reference": there, "p": p},
            )
        )
    return findings


def _gaps(figures: dict[str, Any], labels: list[str]) -> dict[str, dict[str, float]]:
    """Feature → largest minus smallest of its slices, of estimated accuracy and of the rate of each class.

    A feature with fewer than two slices that are large enough has no gap.
    """
    gaps = {}
    for feature in sorted({name.partition("=")[0] for name in figures}):
        mine = [item for name, item in figures.items() if name.startswith(f"{feature}=")]
        mine = [item for item in mine if not item["accuracy_estimate"].get("reason")]
        if len(mine) < 2:
            continue
        accuracies = [item["accuracy_estimate"]["value"] for item in mine]
        rates = [[item["selection_rate"][label]["value"] for item in mine] for label in labels]
        gaps[feature] = {
            "accuracy_estimate": max(accuracies) - min(accuracies),
            "selection_rate": max(max(values) - min(values) for values in rates),
        }
    return gaps
