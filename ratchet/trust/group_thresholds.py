"""Thresholds by group: what a team gains and pays when groups are held to different probabilities of being selected.

Being selected is one decision, of the selected classes against the rest, however many classes there are.

Source: Hardt, Price & Srebro 2016, https://arxiv.org/abs/1610.02413, by fairlearn's ThresholdOptimizer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ratchet.data.sampling import unit_hash
from ratchet.measure.bootstrap import Weights, mean_estimate
from ratchet.trust.fairness import audit_feature
from ratchet.trust.sensitive import sensitive_metrics

Constraint = Literal["demographic_parity", "equalized_odds", "true_positive_rate_parity"]
SELECTED, OTHER = "selected", "other"
MIN_OF_CLASS = 5
"""Selected and other texts that a group needs for thresholds of its own; the others keep the bundle's own decision."""


def group_thresholds(
    proba: NDArray[np.float64], y_true: NDArray[Any], groups: NDArray[Any], constraint: Constraint
) -> Any:
    """fairlearn's ThresholdOptimizer fitted on held-out probabilities of being selected, (n,).

    Its `predict(proba[:, None], sensitive_features=..., random_state=...)` gives 0 or 1; it may toss a coin between two
    thresholds, and it needs to know the group of a text when it predicts.
    """
    from fairlearn.postprocessing import ThresholdOptimizer
    from sklearn.base import BaseEstimator

    class Known(BaseEstimator):  # type: ignore[misc]
        """Predicts its only feature: the probability that is known already."""

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, features: Any, targets: Any) -> Any:
            return self

        def predict(self, features: Any) -> NDArray[np.float64]:
            return np.asarray(features)[:, 0]

    optimizer = ThresholdOptimizer(
        estimator=Known(), constraints=constraint, objective="accuracy_score", prefit=True, predict_method="predict"
    )
    return optimizer.fit(proba[:, None], y_true, sensitive_features=groups)


def large_groups(y_true: NDArray[np.bool_], groups: NDArray[np.str_]) -> list[str]:
    """The groups with enough selected and other texts for thresholds of their own, in alphabetical order."""
    return [
        group
        for group in sorted(set(groups.tolist()))
        if min(np.bincount(y_true[groups == group].astype(np.int64), minlength=2)) >= MIN_OF_CLASS
    ]


def thresholds_report(
    constraint: Constraint,
    proba: NDArray[np.float64],
    y_pred: NDArray[np.bool_],
    y_true: NDArray[np.bool_],
    groups: NDArray[np.str_],
    ids: Iterable[str],
    min_group_size: int,
    w: Weights,
    seed: int,
) -> dict[str, Any]:
    """Fairness figures and accuracy of the selection, `before` and `after`, and the thresholds of all texts, `rules`.

    The thresholds that decide of a text are fitted on the half of the texts, by the hash of the id, that it is not in.
    For the other arguments see `predicted_under` and `audit_feature`.
    """
    half = np.array([unit_hash(key, "thresholds") < 0.5 for key in ids])

    def figures(selected: NDArray[np.bool_]) -> dict[str, Any]:
        true, predicted = (np.where(values, SELECTED, OTHER) for values in (y_true, selected))
        audit = audit_feature(true, predicted, groups, [SELECTED], min_group_size, w)
        metrics = sensitive_metrics({"it": audit}, with_selection=True)
        found = {"accuracy": mean_estimate(y_true == selected, w), **metrics}
        found.pop("calibration_gap")  # thresholds change no probability
        return {name: estimate.to_json() for name, estimate in found.items()}

    after = predicted_under(constraint, proba, y_pred, y_true, groups, half, seed)
    rules = rules_of(constraint, proba, y_true, groups)
    return {"constraint": constraint, "before": figures(y_pred), "after": figures(after), "rules": rules}


def predicted_under(
    constraint: Constraint,
    proba: NDArray[np.float64],
    y_pred: NDArray[np.bool_],
    y_true: NDArray[np.bool_],
    groups: NDArray[np.str_],
    half: NDArray[np.bool_],
    seed: int,
) -> NDArray[np.bool_]:
    """Whether each text is selected under thresholds that were fitted on the other half of the texts, (n,).

    Args:
        constraint: what is to be alike in all groups.
        proba: probability of being selected: that of all selected classes together, (n,).
        y_pred: whether the bundle itself selects each text, (n,).
        y_true: whether its true class is a selected one, (n,).
        groups: the group of each text, (n,); one that is too small in a half keeps the bundle's own decision.
        half: which texts are of the first half, (n,).
        seed: of the coin that is tossed between two thresholds.
    """
    selected = y_pred.copy()
    for fitted_on, applied_to in ((half, ~half), (~half, half)):
        large = large_groups(y_true[fitted_on], groups[fitted_on])
        learned, asked = (rows & np.isin(groups, large) for rows in (fitted_on, applied_to))
        if len(large) > 1 and asked.any():
            optimizer = group_thresholds(proba[learned], y_true[learned].astype(int), groups[learned], constraint)
            told = optimizer.predict(proba[asked, None], sensitive_features=groups[asked], random_state=seed)
            selected[asked] = np.asarray(told).astype(bool)
    return selected


def rules_of(
    constraint: Constraint, proba: NDArray[np.float64], y_true: NDArray[np.bool_], groups: NDArray[np.str_]
) -> dict[str, dict[str, Any]]:
    """Group → the thresholds that all texts together ask for; empty where fewer than two groups are large enough.

    A text is selected if its probability is above `thresholds[i]`, with i drawn by `probabilities`; but with
    probability `ignored` it is selected by a coin of probability `constant` instead.
    """
    large = large_groups(y_true, groups)
    learned = np.isin(groups, large)
    if len(large) < 2:
        return {}
    optimizer = group_thresholds(proba[learned], y_true[learned].astype(int), groups[learned], constraint)
    fitted = optimizer.interpolated_thresholder_.interpolation_dict
    return {
        group: {
            "probabilities": [float(fitted[group][f"p{i}"]) for i in (0, 1)],
            "thresholds": [_threshold(fitted[group][f"operation{i}"]) for i in (0, 1)],
            "ignored": float(fitted[group].get("p_ignore", 0.0)),
            "constant": float(fitted[group].get("prediction_constant", 0.0)),
        }
        for group in large
    }


def _threshold(operation: Any) -> float:
    """The probability above which is selected, cut to [0, 1]: beyond 1 nobody is, below 0 everybody."""
    return float(np.clip(operation._threshold, 0, 1))
