"""Labelling cost, annotator agreement, and the gain of a hundred more labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.labels.agreement import agreement
from ratchet.labels.annotations import latest_answers
from ratchet.labels.label_efficiency import Curves, Scores, labels_to_reach, seed_estimate
from ratchet.labels.resolution import current_decisions
from ratchet.labels.store import Store
from ratchet.measure.estimate import Estimate, undefined

if TYPE_CHECKING:
    import pandas as pd

N_DRAWS = 1000
SECONDS_PER_HOUR = 3600.0


def people_report(store: Store, labels: list[str], usd_per_hour: float, seed: int) -> dict[str, Any]:
    """Counts, agreement and cost of everything people answered; figures are undefined (null) while nobody has.

    Args:
        store: annotations and decisions.
        labels: the classes.
        usd_per_hour: price of an annotator's hour, in US dollars.
        seed: of the intervals' resampling.
    """
    annotations, decisions = store.annotations, current_decisions(store.decisions)
    seconds = seconds_per_label(annotations, decisions, seed)
    report = {
        "n_answers": len(annotations),
        "n_people": int(annotations["annotator"].nunique()),
        "n_resolved": int((decisions["state"] == "resolved").sum()),
        "n_escalated": int((decisions["state"] == "escalated").sum()),
        "n_unusable": int((decisions["state"] == "unusable").sum()),
        "hours": float(latest_answers(annotations)["lead_time_s"].sum() / SECONDS_PER_HOUR),
        "usd_per_annotator_hour": usd_per_hour,
        "seconds_per_label": seconds.to_json(),
        "usd_per_hundred_labels": _times(seconds, 100 * usd_per_hour / SECONDS_PER_HOUR).to_json(),
    }
    return report if annotations.empty else {**report, "agreement": agreement(annotations, labels, seed)}


def seconds_per_label(annotations: pd.DataFrame, decisions: pd.DataFrame, seed: int) -> Estimate:
    """People's seconds for one label that can be used, overlap and conflicts included, with its interval.

    All seconds on decided texts, by whoever answered, over the number of resolved ones. A text counts when each of its
    answers has a lead time. The interval resamples texts, and ends at infinity when many draws hold no resolved
    one. Undefined (NaN) when no resolved text is timed.
    """
    latest = latest_answers(annotations)
    lead = latest.groupby("id")["lead_time_s"].agg(lambda times: times.sum(skipna=False))
    timed = decisions.set_index("id")["state"].to_frame().join(lead, how="inner").dropna(subset="lead_time_s")
    spent = timed["lead_time_s"].to_numpy(dtype=np.float64)
    resolved = (timed["state"] == "resolved").to_numpy(dtype=np.float64)
    if not resolved.any():
        reason = "no person has labelled a text yet" if annotations.empty else "no resolved label has a lead time"
        return undefined(reason, len(timed))
    value = float(spent.sum() / resolved.sum())
    draws = np.random.default_rng(seed).multinomial(len(timed), np.full(len(timed), 1 / len(timed)), size=N_DRAWS)
    with np.errstate(divide="ignore"):
        low, high = np.percentile((draws @ spent) / (draws @ resolved), [2.5, 97.5], method="nearest")
    return Estimate(value, min(float(low), value), max(float(high), value), len(timed))


def gain_per_hundred_labels(curves: Curves, strategy: str) -> Estimate:
    """Gain of the metric by a hundred more labels at the end of a strategy's curve, mean over seeds with Student's t.

    The slope between the last point and the latest one that lies at least a hundred labels before it, or the first one;
    below 0 where the model got worse, also for a cost. Undefined (NaN) for a curve of one point; one seed has no
    interval.
    """
    from scipy.stats import t

    n_labels, scores = curves.n_labels, curves.scores[strategy]
    if len(n_labels) < 2:
        return undefined("the curve has one point", len(scores))
    start = max((i for i, n in enumerate(n_labels) if n_labels[-1] - n >= 100), default=0)
    sign = 1 if curves.metric.greater_is_better else -1
    slopes: Scores = sign * (scores[:, -1] - scores[:, start]) / (n_labels[-1] - n_labels[start]) * 100
    n, mean = len(slopes), float(slopes.mean())
    if n < 2:
        return Estimate(mean, float("nan"), float("nan"), n, "one seed has no spread")
    half = float(t.ppf(0.975, n - 1) * slopes.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def curve_figures(curves: Curves, strategy: str, seed: int) -> dict[str, Any]:
    """What a label brings, and how many of each strategy's labels do what random ones do; for the report.

    Args:
        curves: scores by number of labels.
        strategy: whose gain is told.
        seed: of the intervals' resampling.
    """
    reached = labels_to_reach(curves, seed)
    return {
        "gained_per_hundred_labels": gain_per_hundred_labels(curves, strategy).to_json(),
        "label_efficiency": {
            name: {
                f"score_at_{curves.n_labels[-1]}": seed_estimate(scores[:, -1], curves.metric.bounds).to_json(),
                "labels_to_reach_random": reached[name].to_json(),
            }
            for name, scores in curves.scores.items()
        },
    }


def undefined_figures(reason: str) -> dict[str, Any]:
    """The same where nothing was bought, with the reason."""
    return {"gained_per_hundred_labels": undefined(reason, 0).to_json(), "label_efficiency": {}}


def _times(estimate: Estimate, factor: float) -> Estimate:
    value, low, high = (number * factor for number in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high, estimate.n, estimate.reason)
