"""The audit of one bundle: its fairness by feature and group, and whether its confidence can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, weights
from ratchet.measure.detection import false_alarms
from ratchet.measure.reliability import area_under_risk, calibration_before_and_after, selective_curve
from ratchet.trust.domain_distance import flag_figures
from ratchet.trust.fairness import FeatureAudit, audit_feature, bundle_metrics, feature_gaps, slices_json
from ratchet.trust.sensitive import sensitive_metrics

if TYPE_CHECKING:
    import pandas as pd

COVERAGES = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0]
CAUGHT = 0.95
"""Share of the other domain's texts that the flag is to catch when its false alarms are counted."""
Groups = Mapping[str, NDArray[np.str_]]
"""Feature → group of each text, (n,)."""


def fairness_figures(
    rows: pd.DataFrame,
    slices: Groups,
    sensitive: Groups,
    positive_labels: Sequence[str],
    min_group_size: int,
    w: Weights,
) -> dict[str, Any]:
    """Metrics over all features, the gaps of each, the rates of each group, and the groups too small for a rate.

    Args:
        rows: predictions of the audited texts: label, predicted, confidence, (n,).
        slices: features that define slices.
        sensitive: features that tell people apart.
        positive_labels: classes that count as being selected.
        min_group_size: texts below which a rate is left undefined.
        w: bootstrap weights, (n_draws, n).
    """
    y_true, y_pred = (rows[name].to_numpy(dtype=str) for name in ("label", "predicted"))
    confidence = rows["confidence"].to_numpy(dtype=np.float64)
    audits = {
        name: audit_feature(y_true, y_pred, of_rows, positive_labels, min_group_size, w, confidence)
        for name, of_rows in {**slices, **sensitive}.items()
    }
    metrics = bundle_metrics({name: audits[name] for name in slices})
    of_people = {name: audits[name] for name in sensitive}
    metrics |= sensitive_metrics(of_people, with_selection=bool(positive_labels))
    small = {
        f"{name}={group}": size
        for name, audit in audits.items()
        for group, size in audit.sizes.items()
        if size < min_group_size
    }
    return {
        "metrics": {name: estimate.to_json() for name, estimate in metrics.items()},
        "features": {name: _gaps(audit) for name, audit in audits.items()},
        "slices": {key: value for name, audit in audits.items() for key, value in slices_json(name, audit).items()},
        "n_groups_left_out": len(small),
        "groups_left_out": small,
    }


def confidence_figures(
    rows: pd.DataFrame,
    elsewhere: pd.DataFrame,
    temperature: float | None,
    w: Weights,
    *,
    n_bins: int,
    false_alarm_rate: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Calibration before and after, the selective curve, and how far confidence flags the other domain; its metrics.

    The threshold of its flag is set by the very texts that are alarms if flagged: the figures flatter it a little.

    Args:
        rows: predictions of the audited texts, with `proba_CLASS`, (n,).
        elsewhere: predictions of texts of another domain.
        temperature: that the bundle was calibrated with; None: it was not.
        w: bootstrap weights, (n_draws, n).
        n_bins: bins of confidence.
        false_alarm_rate: share of the domain's own texts that the flag may raise.
        rng: draws the bootstrap of the other domain.
    """
    columns = sorted(str(column) for column in rows if str(column).startswith("proba_"))
    proba = rows[columns].to_numpy(dtype=np.float64)
    confidence = rows["confidence"].to_numpy(dtype=np.float64)
    right = (rows["label"] == rows["predicted"]).to_numpy(dtype=bool)
    outside = 1 - elsewhere.sort_values("id")["confidence"].to_numpy(dtype=np.float64)
    at_home = (rows["split"] == "validation").to_numpy(dtype=bool)
    flag = flag_figures(
        1 - confidence[at_home],
        1 - confidence[at_home],
        outside,
        false_alarm_rate,
        w[:, at_home],
        weights(len(outside), len(w), rng),
    )
    selective = selective_curve(right, confidence, COVERAGES, w)
    figures = {
        "calibration": calibration_before_and_after(right, proba, temperature, n_bins, w),
        "selective": selective,
        "area_under_risk": area_under_risk(right, confidence, w).to_json(),
        "false_alarms": false_alarms(1 - confidence[at_home], outside, CAUGHT).to_json(),
        "other_domain": flag,
    }
    at_80 = next(point for point in selective if point["coverage"] == 0.8)
    return figures, {"other_domain_auroc": flag["auroc"], "accuracy_at_80_coverage": at_80["accuracy"]}


def _gaps(audit: FeatureAudit) -> dict[str, Any]:
    gaps = feature_gaps(audit)
    if audit.has_selection:
        gaps["selection_rate_ratio"] = audit.ratio("selection_rate")
    return {name: rate.estimate().to_json() for name, rate in gaps.items()}
