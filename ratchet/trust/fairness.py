"""Whether a model serves all groups of texts alike: rates by group, and the gaps between groups.

Of k classes, some may count as selected: being predicted any of them is one decision, against the rest. Equalized odds
looks at every class against the rest instead, and needs no selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, interval_estimate
from ratchet.measure.estimate import Estimate, undefined
from ratchet.trust.group_rates import Column, Names, Rate, class_rates, group_rates


@dataclass(frozen=True)
class FeatureAudit:
    """The groups of one feature, and how many rows each of them has."""

    rates: dict[str, dict[str, Rate]]
    """Group → measure → rate."""
    sizes: dict[str, int]
    one_against_rest: dict[str, dict[str, Rate]]
    """Group → 'true_positive_rate_CLASS' and 'false_positive_rate_CLASS' of every class → rate."""

    @property
    def has_selection(self) -> bool:
        """Whether any class counts as selected."""
        return any("selection_rate" in rates for rates in self.rates.values())

    def gap(self, measure: str) -> Rate:
        """Largest minus smallest value of a measure over the groups in which it is defined; 0: no difference.

        NaN with a reason when fewer than two groups define it.
        """
        by_group = self.rates if any(measure in rates for rates in self.rates.values()) else self.one_against_rest
        known = [rates[measure] for rates in by_group.values() if not rates[measure].reason]
        if len(known) < 2:
            return Rate(
                float("nan"), np.zeros(0), sum(rate.n for rate in known), "fewer than two groups are comparable"
            )
        draws = np.stack([rate.draws for rate in known])  # (n_groups, n_draws)
        values = [rate.value for rate in known]
        return Rate(max(values) - min(values), draws.max(axis=0) - draws.min(axis=0), sum(rate.n for rate in known))

    def ratio(self, measure: str) -> Rate:
        """Smallest ÷ largest value of a measure over the groups in which it is defined; 1: no difference.

        Below 0.8, the four-fifths rule takes a selection rate to be adverse impact: Uniform Guidelines on Employee
        Selection Procedures, 29 CFR 1607.4 D. NaN with a reason when fewer than two groups define it, or all are 0.
        """
        known = [rates[measure] for rates in self.rates.values() if not rates[measure].reason]
        n = sum(rate.n for rate in known)
        if len(known) < 2:
            return Rate(float("nan"), np.zeros(0), n, "fewer than two groups are comparable")
        values = [rate.value for rate in known]
        if max(values) == 0:
            return Rate(float("nan"), np.zeros(0), n, "nobody is selected in any group")
        draws = np.stack([rate.draws for rate in known])  # (n_groups, n_draws)
        most = draws.max(axis=0)
        ratios = np.divide(draws.min(axis=0), most, out=np.full(len(most), np.nan), where=most > 0)
        return Rate(min(values) / max(values), ratios, n)


def audit_feature(
    y_true: Names,
    y_pred: Names,
    groups: Names,
    selected: Sequence[str],
    min_group_size: int,
    w: Weights,
    confidence: NDArray[np.float64] | None = None,
) -> FeatureAudit:
    """The rates of each group: accuracy, how often texts are selected, how often rightly, how often wrongly; and the
    true and false positive rates of every class against the rest.

    Without selected classes there are no rates of selection. With confidence there is also `overconfidence`: mean
    confidence minus accuracy, in [-1, 1]; 0 is calibrated on the whole.

    Args:
        y_true: true classes, (n,).
        y_pred: predicted classes, (n,).
        groups: the group of each row, (n,): the sensitive feature.
        selected: classes whose prediction counts as being selected, one decision for all of them; may be none.
        min_group_size: a rate that rests on fewer rows is NaN.
        w: bootstrap weights, (n_draws, n).
        confidence: probability of the predicted class, (n,).

    The values are those of fairlearn's MetricFrame, which the tests hold them against; it takes 25 CPU-seconds for what
    two sparse products do here in three, however many classes there are. Source: fairlearn's user guide, "Common
    fairness metrics".
    """
    everyone = np.ones(len(y_true), dtype=bool)
    right = y_true == y_pred
    columns: list[Column] = [("accuracy", right, everyone)]
    if selected:
        true, pred = np.isin(y_true, selected), np.isin(y_pred, selected)
        columns += [
            ("selection_rate", pred, everyone),
            ("true_positive_rate", pred, true),
            ("false_positive_rate", pred, ~true),
        ]
    if confidence is not None:
        columns.append(("overconfidence", confidence - right, everyone))
    names, sizes = np.unique(groups, return_counts=True)
    return FeatureAudit(
        group_rates(columns, groups, min_group_size, w),
        dict(zip(names.tolist(), sizes.tolist(), strict=True)),
        class_rates(y_true, y_pred, groups, min_group_size, w),
    )


def bundle_metrics(features: Mapping[str, FeatureAudit]) -> dict[str, Estimate]:
    """The figures gates look at: the worst slice, and each gap where it is largest over the features.

    - `worst_slice_accuracy`: the lowest accuracy of any group, in [0, 1].
    - `accuracy_gap`: highest minus lowest accuracy of the groups of one feature.
    - `selection_rate_difference`: the same of the rate of predicting a selected class (demographic parity difference);
      absent where no class counts as selected. It is no fault by itself where the groups differ in their true rates.
    - `equalized_odds_difference`: the same of the true or the false positive rate of any class against the rest,
      whichever differs most: classwise multiclass equality of odds, by its worst class. With two classes it is the
      binary equalized odds difference of either class.

    All are in [0, 1] and 0 is no gap; NaN with a reason where no feature has two groups to compare.
    Source: Agarwal et al. 2018, https://arxiv.org/abs/1803.02453; Hardt, Price & Srebro 2016,
    https://arxiv.org/abs/1610.02413; Putzel & Lee 2022, https://arxiv.org/abs/2201.04461 (of k classes).
    """
    accuracies = [
        rates["accuracy"]
        for audit in features.values()
        for rates in audit.rates.values()
        if not rates["accuracy"].reason
    ]
    worst = undefined("no group is large enough")
    if accuracies:
        lowest = min(accuracies, key=lambda rate: rate.value)
        draws = np.stack([rate.draws for rate in accuracies]).min(axis=0)
        worst = interval_estimate(lowest.value, draws, lowest.n)
    gaps = {name: feature_gaps(audit) for name, audit in features.items()}
    metrics = ["accuracy_gap", "selection_rate_difference", "equalized_odds_difference"]
    if not any(audit.has_selection for audit in features.values()):
        metrics.remove("selection_rate_difference")
    gaps_of_all = {metric: largest([item[metric] for item in gaps.values()]).estimate() for metric in metrics}
    return {"worst_slice_accuracy": worst, **gaps_of_all}


def feature_gaps(audit: FeatureAudit) -> dict[str, Rate]:
    """The gaps of `bundle_metrics` between the groups of one feature."""
    of_classes = next(iter(audit.one_against_rest.values()), {})
    selection = {"selection_rate_difference": audit.gap("selection_rate")} if audit.has_selection else {}
    return {
        "accuracy_gap": audit.gap("accuracy"),
        **selection,
        "equalized_odds_difference": largest([audit.gap(measure) for measure in of_classes]),
    }


def slices_json(feature: str, audit: FeatureAudit) -> dict[str, dict[str, Any]]:
    """'feature=group' → its rows and every rate that is known, as JSON; the accuracy also where it is not, and why."""
    return {
        f"{feature}={group}": {
            "n": audit.sizes[group],
            **{m: rate.estimate().to_json() for m, rate in rates.items() if m == "accuracy" or not rate.reason},
        }
        for group, rates in audit.rates.items()
    }


def largest(gaps: Sequence[Rate]) -> Rate:
    """The largest gap with the draws of the largest; NaN when none is defined."""
    known = [gap for gap in gaps if not gap.reason]
    if not known:
        return Rate(float("nan"), np.zeros(0), 0, gaps[0].reason if gaps else "there is nothing to compare")
    top = max(known, key=lambda gap: gap.value)
    return Rate(top.value, np.stack([gap.draws for gap in known]).max(axis=0), top.n)
