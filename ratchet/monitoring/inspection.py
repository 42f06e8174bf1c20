"""Inspection of a window of requests: drift, estimated accuracy, slices, traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.measure.estimate import Estimate
from ratchet.monitoring.delayed_labels import LateLabels, cusum
from ratchet.monitoring.drift import STATISTICS, Sample, judge, window_size
from ratchet.monitoring.features import text_features
from ratchet.monitoring.findings import Finding
from ratchet.monitoring.performance_estimation import Estimator, estimate_accuracy, fit_estimator
from ratchet.monitoring.reference import Reference
from ratchet.monitoring.settings import MonitorParams
from ratchet.monitoring.slices import judge_slices, production_groups
from ratchet.monitoring.traffic import find_anomalies
from ratchet.monitoring.windows import Window, answered, draw, proba_of
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.slices import NO_PATTERNS, Patterns

if TYPE_CHECKING:
    import pyarrow

MIN_LABELS = 30
"""Fewest late labels from which anything is reported."""


@dataclass(frozen=True)
class Inspection:
    """Figures and findings of one window."""

    figures: dict[str, Any]
    """JSON: window, drift, estimates, slices, traffic."""
    findings: list[Finding] = field(default_factory=list)


def estimator_of(reference: Reference) -> Estimator:
    """The estimator of accuracy, from the reference's labelled rows."""
    held = reference.held
    return fit_estimator(reference.sample.proba[held], reference.y_true[held])


def inspect_window(
    window: Window,
    reference: Reference,
    pieces: Any | None,
    earlier: Sequence[dict[str, Any]],
    params: MonitorParams,
    lexicon: Lexicon | None = None,
    patterns: Patterns = NO_PATTERNS,
) -> Inspection:
    """The figures and findings of one window.

    Args:
        window: all its requests.
        reference: of the model that answered them.
        pieces: that model's tokenizer, see `load_pieces`.
        earlier: figures of earlier windows, the latest last.
        params: bounds and error rates.
        lexicon: terms of the attributes; without one there are no slices by identity group.
        patterns: the task's own features, as they were when the reference was made.

    Drift and slices are judged on a random sample of the window, of one of the sizes that thresholds were made for;
    estimates and traffic on all of it. A second drifted window in a row is an alert, the first a warning.
    """
    rows = answered(window.rows, reference.version)
    minutes = (window.end - window.start).total_seconds() / 60
    figures: dict[str, Any] = {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "n_requests": len(window.rows),
        "n_answered": len(rows),
        "model_version": reference.version,
    }
    rates = [item["traffic"]["per_minute"] for item in earlier]
    figures["traffic"], findings = find_anomalies(window.rows, minutes, rates, params)
    fitted = estimator_of(reference)
    estimates = estimate_accuracy(proba_of(rows, len(reference.labels)), fitted)
    figures["accuracy_estimates"] = {name: item.to_json() for name, item in estimates.items()}
    figures["reference_accuracy"] = fitted.accuracy
    findings += _decay(estimates["cbpe"], fitted.accuracy, params.max_fall)
    size = window_size(len(rows), sorted(reference.nulls))
    if size is None:
        figures["drift"] = None
        return Inspection(figures, findings)
    seed = [params.seed, int(window.end.timestamp() * 1e6)]
    sample = draw(rows, size, np.random.default_rng(seed))
    figures["drift"], found = _drift(sample, reference, pieces, params.alpha, bool(_was_drifted(earlier)))
    figures["slices"], in_slices = _slices(sample, reference, fitted, params, lexicon, patterns)
    return Inspection(figures, findings + found + in_slices)


def judge_late_labels(late: LateLabels, fitted: Estimator, params: MonitorParams) -> Inspection:
    """Accuracy, calibration and the cumulative sum of errors of the labels that have come so far."""
    if len(late.wrong) < MIN_LABELS:
        return Inspection({"n": len(late.wrong), "reason": f"fewer than {MIN_LABELS} labels"})
    recent = LateLabels(late.wrong[-params.label_horizon :], late.confidence[-params.label_horizon :])
    usual = 1 - fitted.accuracy
    watched = cusum(recent.wrong, usual, params.error_rise, params.label_horizon, params.label_alpha, params.seed)
    accuracy = recent.accuracy()
    figures = {
        "n": len(recent.wrong),
        "accuracy": accuracy.to_json(),
        "ece": recent.calibration(params.seed).to_json(),
        "reference_accuracy": fitted.accuracy,
        "cusum": watched.highest,
        "cusum_bound": watched.bound,
        "alarm_at": watched.alarm_at,
    }
    if watched.alarm_at is None:
        return Inspection(figures)
    message = (
        f"Errors have risen: {100 * (1 - accuracy.value):.1f} % of {len(recent.wrong)} labelled answers are wrong, "
        f"{100 * usual:.1f} % were of the reference."
    )
    evidence = {
        "error_rate": 1 - accuracy.value,
        "usual": usual,
        "n": float(len(recent.wrong)),
        "cusum": watched.highest,
        "bound": watched.bound,
    }
    return Inspection(figures, [Finding("decay", "late_labels", "alert", message, evidence)])


def _was_drifted(earlier: Sequence[dict[str, Any]]) -> bool:
    """Whether the last window that could be judged was beyond the threshold."""
    judged = [item["drift"] for item in earlier if item.get("drift")]
    return bool(judged and judged[-1]["drifted"])


def _drift(
    sample: pyarrow.Table, reference: Reference, pieces: Any | None, alpha: float, again: bool
) -> tuple[dict[str, Any], list[Finding]]:
    size = len(sample)
    features = text_features(sample.column("text").to_pylist(), pieces)
    window = Sample(features, proba_of(sample, len(reference.labels)), np.ones(size, dtype=bool))
    found = judge(reference.sample, window, reference.null_of(size))
    drifted = found.p <= alpha
    statistics = {name: {"value": found.values[name], "p": found.p_values[name]} for name in STATISTICS}
    figures = {
        "n": size,
        "p": found.p,
        "alpha": alpha,
        "drifted": drifted,
        "again": drifted and again,
        "statistics": statistics,
    }
    if not drifted:
        return figures, []
    first = min(found.p_values, key=lambda name: found.p_values[name])
    message = (
        f"{size} requests differ from the reference, most in {first} ({STATISTICS[first]}); without drift "
        f"{100 * found.p:.2g} % of windows differ as much{', and the window before did too' if again else ''}."
    )
    evidence = {"p": found.p, "n": float(size), **{f"p_{name}": p for name, p in found.p_values.items()}}
    return figures, [Finding("drift", "requests", "alert" if again else "warning", message, evidence)]


def _decay(estimate: Estimate, accuracy: float, max_fall: float) -> list[Finding]:
    """A finding where even the high end of the estimate is more than `max_fall` below the reference's accuracy."""
    if not estimate.high < accuracy - max_fall:
        return []
    message = (
        f"Accuracy is estimated at {estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] without labels; "
        f"it was {accuracy:.3f} on the reference."
    )
    return [
        Finding(
            "decay",
            "estimated_accuracy",
            "alert",
            message,
            {"estimate": estimate.value, "high": estimate.high, "reference": accuracy},
        )
    ]


def _slices(
    sample: pyarrow.Table,
    reference: Reference,
    fitted: Estimator,
    params: MonitorParams,
    lexicon: Lexicon | None,
    patterns: Patterns,
) -> tuple[dict[str, Any], list[Finding]]:
    frame = sample.select(["text"]).to_pandas()
    groups = production_groups(frame, params.slices, params.length_edges, params.attributes, lexicon, patterns)
    held = reference.sample.held_out
    return judge_slices(
        proba_of(sample, len(reference.labels)),
        groups,
        reference.sample.proba[held],
        {name: values[held] for name, values in reference.groups.items()},
        reference.labels,
        fitted,
        params.min_slice_size,
        params.slice_alpha,
    )
