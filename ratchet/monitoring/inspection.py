"""Inspection of a window of requests: drift, estimated accuracy, slices, traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.measure.estimate import Estimate, undefined
from ratchet.monitoring.delayed_labels import LateLabels, cusum
from ratchet.monitoring.drift import STATISTICS, Sample, judge, window_size
from ratchet.monitoring.exclusions import exclude, set_aside_repeats
from ratchet.monitoring.features import text_features
from ratchet.monitoring.findings import Finding
from ratchet.monitoring.labelled_sample import EVERYTHING, Labelled, late_labels, plan, rate_of
from ratchet.monitoring.moved import newest, what_moved
from ratchet.monitoring.performance_estimation import Estimator, estimate_accuracy, fit_estimator
from ratchet.monitoring.reference import Reference
from ratchet.monitoring.settings import MonitorParams
from ratchet.monitoring.slices import Groups, judge_slices, production_groups
from ratchet.monitoring.traffic import find_anomalies
from ratchet.monitoring.windows import Window, answered, draw, proba_of
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.slices import NO_PATTERNS, Patterns

if TYPE_CHECKING:
    import pyarrow

MIN_LABELS = 30
"""Fewest late labels from which anything is reported."""
N_SHOWN = 200
"""Characters of a text that is shown, where texts may be."""


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

    What live.yaml excludes is counted only. Drift and slices are judged on a random sample of the window, of one of the
    sizes that thresholds were made for; estimates and traffic on all of it. Texts that make up a share of the window
    are set aside, see `set_aside_repeats`. A second drifted window in a row is an alert, the first a warning.
    """
    taken = exclude(window.rows, params.exclude_keys, params.exclude_texts)
    kept = set_aside_repeats(answered(taken.rows, reference.version), params.repeat_share)
    rows = kept.rows
    figures = {**_head(window, reference.version), "n_answered": len(rows)}
    figures |= {"excluded": taken.figures, "set_aside": kept.figures}
    figures["traffic"], findings = _traffic(window, taken.rows, earlier, params)
    findings += kept.findings
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
    frame = sample.select(["text"]).to_pandas()
    groups = production_groups(frame, params.slices, params.length_edges, params.attributes, lexicon, patterns)
    again, change = bool(_was_drifted(earlier)), _change(estimates["cbpe"], fitted.accuracy)
    figures["drift"], found = _drift(sample, groups, reference, pieces, params, again, change)
    figures["slices"], in_slices = _slices(sample, groups, reference, fitted, params)
    return Inspection(figures, findings + found + in_slices)


def inspect_unknown(
    window: Window, version: str, reason: str, earlier: Sequence[dict[str, Any]], params: MonitorParams
) -> Inspection:
    """Traffic of a window that an unknown model answered, and the finding that says so: nothing else can be judged."""
    taken = exclude(window.rows, params.exclude_keys, params.exclude_texts)
    figures = {**_head(window, version), "n_answered": len(answered(taken.rows, version))}
    figures["traffic"], findings = _traffic(window, taken.rows, earlier, params)
    figures |= {"excluded": taken.figures, "drift": None, "reference_accuracy": None}
    figures["accuracy_estimates"] = {"cbpe": undefined(reason).to_json()}
    evidence = {"n": float(figures["n_answered"])}
    return Inspection(figures, [*findings, Finding("log", "no_reference", "alert", reason, evidence)])


def _head(window: Window, version: str) -> dict[str, Any]:
    return {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "n_requests": len(window.rows),
        "model_version": version,
    }


def _traffic(
    window: Window, rows: pyarrow.Table, earlier: Sequence[dict[str, Any]], params: MonitorParams
) -> tuple[dict[str, float], list[Finding]]:
    minutes = (window.end - window.start).total_seconds() / 60
    return find_anomalies(rows, minutes, [item["traffic"]["per_minute"] for item in earlier], params)


def judge_sample(
    sample: Labelled | None, draws: Sequence[dict[str, Any]], fitted: Estimator, params: MonitorParams
) -> Inspection:
    """What people said of the random sample: accuracy, calibration, rates and slices, and a rise of errors.

    Args:
        sample: the labelled part of the draws; None: nobody was asked.
        draws: of one model.
        fitted: its calibration, and its accuracy on the reference.
        params: bounds and error rates.
    """
    if sample is None:
        return Inspection({"n": 0, "reason": "nobody was asked about a random sample: ratchet labels sample"})
    late = late_labels(sample, draws)
    judged = judge_late_labels(late, fitted, params)
    planned = plan(sample, draws, fitted.accuracy, params.max_fall)
    labels = sorted({label for draw in draws for label in draw["rates"]})
    figures = {
        **judged.figures,
        "slices": planned,
        "rates": {label: rate_of(sample, draws, label).estimate.to_json() for label in labels},
        "n_more": planned.get(EVERYTHING, {}).get("n_more", 0),
    }
    if not (accuracy := planned.get(EVERYTHING, {}).get("accuracy", {})).get("reason"):
        figures["accuracy"] = accuracy  # the predictions make it narrower than the labels alone
    return Inspection(figures, judged.findings)


def judge_late_labels(late: LateLabels, fitted: Estimator, params: MonitorParams) -> Inspection:
    """Accuracy, calibration and the cumulative sum of errors of a random sample's labels, in their order."""
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


def _change(estimate: Estimate, accuracy: float) -> Estimate:
    """Estimated change of accuracy since the reference, without labels."""
    low, high = estimate.low - accuracy, estimate.high - accuracy
    return Estimate(estimate.value - accuracy, low, high, estimate.n, estimate.reason)


def _drift(
    sample: pyarrow.Table,
    groups: Groups,
    reference: Reference,
    pieces: Any | None,
    params: MonitorParams,
    again: bool,
    change: Estimate,
) -> tuple[dict[str, Any], list[Finding]]:
    size, texts = len(sample), sample.column("text").to_pylist()
    features = text_features(texts, pieces)
    window = Sample(features, proba_of(sample, len(reference.labels)), np.ones(size, dtype=bool))
    found = judge(reference.sample, window, reference.null_of(size))
    drifted = found.p <= params.alpha
    statistics = {name: {"value": found.values[name], "p": found.p_values[name]} for name in STATISTICS}
    figures = {
        "n": size,
        "p": found.p,
        "alpha": params.alpha,
        "drifted": drifted,
        "again": drifted and again,
        "statistics": statistics,
        "accuracy_change": change.to_json(),
    }
    if not drifted:
        return figures, []
    held = reference.sample.held_out
    there = {name: values[held] for name, values in reference.groups.items()}
    answers = window.proba.argmax(axis=1), reference.sample.proba[held].argmax(axis=1)
    moved = what_moved(texts, answers[0], groups, reference.words, answers[1], there, reference.labels)
    rows = newest(features.fourier, reference.sample.texts.fourier)
    ids = sample.column("request_id").to_pylist()
    shown = [{"request_id": ids[row], **({"text": texts[row][:N_SHOWN]} if params.show_texts else {})} for row in rows]
    figures |= {"moved": moved, "newest": shown}
    first = min(found.p_values, key=lambda name: found.p_values[name])
    message = (
        f"{size} requests differ from the reference, most in {first} ({STATISTICS[first]}); without drift "
        f"{100 * found.p:.2g} % of windows differ as much{', and the window before did too' if again else ''}. "
        f"{_moved_most(moved)}Without labels accuracy is estimated to change by {100 * change.value:+.1f} points "
        f"[{100 * change.low:+.1f}, {100 * change.high:+.1f}]."
    )
    evidence = {"p": found.p, "n": float(size), **{f"p_{name}": p for name, p in found.p_values.items()}}
    evidence |= {"accuracy_change": change.value, "low": change.low, "high": change.high}
    return figures, [Finding("drift", "requests", "alert" if again else "warning", message, evidence)]


def _moved_most(moved: Sequence[dict[str, Any]]) -> str:
    """A sentence on the largest move of classes and slices; words stand on the page alone."""
    named = [row for row in moved if row["kind"] != "word"]
    if not named:
        return ""
    row = max(named, key=lambda item: abs(item["now"] - item["before"]))
    return f"Most moved {row['name']}: {100 * row['before']:.0f} % before, {100 * row['now']:.0f} % now. "


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
    sample: pyarrow.Table, groups: Groups, reference: Reference, fitted: Estimator, params: MonitorParams
) -> tuple[dict[str, Any], list[Finding]]:
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
