"""Whether people whom texts speak of are treated alike: the figures that gates look at, over sensitive features only.

A slice such as the length of a text may well be harder; that a text speaks of women must not decide. So the gaps over
sensitive features stand apart from those over slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.estimate import Estimate, undefined
from ratchet.measure.significance import discordant, paired_difference
from ratchet.trust.fairness import FeatureAudit, feature_gaps, largest
from ratchet.trust.group_rates import Names, Rate

NOBODY = ("none", "missing")
"""Groups of texts that speak of nobody: no group of people, and compared with nobody."""
PARITY = ("demographic_parity_difference", "demographic_parity_ratio")
SENSITIVE = ("sensitive_equalized_odds_difference", "sensitive_accuracy_gap", "calibration_gap")
"""The figures of `sensitive_metrics`: those of the selection, and the others."""


def people_only(audit: FeatureAudit) -> FeatureAudit:
    """The audit without the groups of `NOBODY`."""
    kept = {name: rates for name, rates in audit.rates.items() if not set(name.split(" & ")) & set(NOBODY)}
    against_rest = {name: audit.one_against_rest[name] for name in kept}
    return FeatureAudit(kept, {name: audit.sizes[name] for name in kept}, against_rest)


def sensitive_metrics(audits: Mapping[str, FeatureAudit], *, with_selection: bool) -> dict[str, Estimate]:
    """The figures over sensitive features; each NaN with a reason where no feature has two groups large enough.

    - `demographic_parity_difference`: largest difference between groups in how often a selected class is predicted.
    - `demographic_parity_ratio`: lowest rate divided by the highest, where it is lowest; 1: alike. The four-fifths
      rule asks for 0.8. Groups whose true rates differ have a ratio below 1 under a perfect model.
    - `sensitive_equalized_odds_difference`: largest difference between groups in the true or false positive rate of
      any class against the rest, see `bundle_metrics`.
    - `sensitive_accuracy_gap`: largest difference in accuracy.
    - `calibration_gap`: largest difference between groups in mean confidence minus accuracy.

    The two of demographic parity are absent without a selection, where no class counts as selected.
    Source: fairlearn's user guide, https://fairlearn.org/main/user_guide/assessment/common_fairness_metrics.html;
    Kleinberg, Mullainathan & Raghavan 2017, https://arxiv.org/abs/1609.05807 (why not all can be 0 at once).
    """
    people = [people_only(audit) for audit in audits.values()]
    gaps = [feature_gaps(audit) for audit in people]
    calibrated = [
        audit.gap("overconfidence")
        for audit in people
        if all("overconfidence" in rates for rates in audit.rates.values())
    ]
    parity = {}
    if with_selection:
        parity = {
            "demographic_parity_difference": largest([audit.gap("selection_rate") for audit in people]).estimate(),
            "demographic_parity_ratio": smallest([audit.ratio("selection_rate") for audit in people]).estimate(),
        }
    return {
        **parity,
        "sensitive_equalized_odds_difference": largest([item["equalized_odds_difference"] for item in gaps]).estimate(),
        "sensitive_accuracy_gap": largest([item["accuracy_gap"] for item in gaps]).estimate(),
        "calibration_gap": largest(calibrated).estimate(),
    }


def smallest(ratios: Sequence[Rate]) -> Rate:
    """The smallest ratio with the draws of the smallest; NaN when none is defined."""
    known = [ratio for ratio in ratios if not ratio.reason]
    if not known:
        return Rate(float("nan"), np.zeros(0), 0, ratios[0].reason if ratios else "there is nothing to compare")
    least = min(known, key=lambda ratio: ratio.value)
    return Rate(least.value, np.stack([ratio.draws for ratio in known]).min(axis=0), least.n)


def intersections(groups: Mapping[str, Names], pairs: Sequence[Sequence[str]]) -> dict[str, Names]:
    """'gender & length' → the combined group of each row, such as 'women & short', for each named combination.

    Source: Crenshaw 1989; Buolamwini & Gebru 2018, https://proceedings.mlr.press/v81/buolamwini18a.html: a model may
    be fair by each feature and fail where two meet.
    """
    found = {}
    for names in pairs:
        rows = zip(*(groups[name].tolist() for name in names), strict=True)
        found[" & ".join(names)] = np.array([" & ".join(parts) for parts in rows], dtype=np.str_)
    return found


def slice_differences(
    correct: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    groups: Mapping[str, Names],
    min_group_size: int,
) -> dict[str, dict[str, Estimate]]:
    """'feature=group' → the accuracy there minus the reference's on the same texts, paired; in [-1, 1], 0: equal.

    With Tango's score interval: a bootstrap of a small group, in which few texts differ, shows harm by chance.

    Args:
        correct: whether each text was classified rightly, (n,).
        reference: the same of the reference, (n,).
        groups: feature → the group of each row, (n,).
        min_group_size: the difference of a smaller group is NaN with a reason.
    """
    found = {}
    for feature, rows in groups.items():
        for group in sorted(set(rows.tolist())):
            counts = discordant(correct[rows == group], reference[rows == group])
            few = undefined(f"rests on {counts.n} texts, fewer than {min_group_size}", counts.n)
            found[f"{feature}={group}"] = {"accuracy": few if counts.n < min_group_size else paired_difference(counts)}
    return found
