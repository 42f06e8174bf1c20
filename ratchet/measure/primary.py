"""The primary metric: the one figure by which epochs, label-efficiency curves, slices and candidates are compared.

A metric is a row of `DRAWS`: a function of labels, probabilities and resampling weights. Its value is that function
under weights of one, its interval that under many draws, its difference between two models that of both under the
same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import ratchet.params
from ratchet import task
from ratchet.errors import ParamsError
from ratchet.measure.bootstrap import (
    NO_ROWS,
    Draws,
    Weights,
    group_draws,
    interval_estimate,
    macro_f1_draws,
    mean_draws,
    quotients,
    unit_weights,
)
from ratchet.measure.estimate import Estimate, undefined
from ratchet.measure.significance import discordant, paired_difference
from ratchet.task import CostMatrix as CostMatrixOfTask
from ratchet.task import Labels, RareClass

MetricName = task.Metric
Indices = NDArray[np.int64]
Proba = NDArray[Any]
CostMatrix = Sequence[Sequence[float]]


@dataclass(frozen=True)
class PrimaryMetric:
    """A metric of labels (n_texts,), indices of `classes`, and probabilities (n_texts, n_classes).

    Texts without a label are left out beforehand. Made by `primary_metric`, which refuses what contradicts itself.
    """

    name: MetricName
    classes: tuple[str, ...]
    """In the order of the probabilities' columns."""
    rare_class: str = ""
    """The class that `average_precision` ranks texts for."""
    costs: tuple[tuple[float, ...], ...] = ()
    """Of `expected_cost`: a row for each true class, a column for each predicted one."""

    @property
    def greater_is_better(self) -> bool:
        """False for costs."""
        return self.name != "expected_cost"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value: 0 and 1, or the least and the greatest cost."""
        if self.name != "expected_cost":
            return 0.0, 1.0
        return min(map(min, self.costs)), max(map(max, self.costs))

    @property
    def unit(self) -> str:
        """Unit of differences: percentage points of the range, or the cost matrix's own unit."""
        return "points" if self.name != "expected_cost" else "cost per text"

    def undefined_on(self, y_true: Indices) -> str:
        """Why the metric is undefined on texts of these classes; empty where it is defined."""
        if len(y_true) == 0:
            return NO_ROWS
        if self.name == "average_precision" and not (y_true == self.classes.index(self.rare_class)).any():
            return f"no text is of class '{self.rare_class}'"
        return ""

    def value(self, y_true: Indices, proba: Proba) -> float:
        """The metric; NaN where `undefined_on` gives a reason."""
        if self.undefined_on(y_true):
            return math.nan
        return float(DRAWS[self.name](self, y_true, proba, unit_weights(len(y_true)))[0])

    def estimate(self, y_true: Indices, proba: Proba, w: Weights) -> Estimate:
        """The metric with its interval by the resampling weights (n_draws, n_texts)."""
        if reason := self.undefined_on(y_true):
            return undefined(reason, len(y_true))
        draws = DRAWS[self.name](self, y_true, proba, w)
        return interval_estimate(self.value(y_true, proba), draws, len(y_true))

    def difference(self, y_true: Indices, proba: Proba, reference: Proba, w: Weights) -> Estimate:
        """By how much a model is better than a reference on the same texts: above 0 where it is, also for costs.

        The interval comes from the same draws of both, that of accuracy from the discordant texts instead: Tango's
        score interval keeps its level where few texts differ (`paired_difference`).
        """
        if reason := self.undefined_on(y_true):
            return undefined(reason, len(y_true))
        if self.name == "accuracy":
            return paired_difference(discordant(proba.argmax(axis=1) == y_true, reference.argmax(axis=1) == y_true))
        above, below = (proba, reference) if self.greater_is_better else (reference, proba)
        draws = DRAWS[self.name](self, y_true, above, w) - DRAWS[self.name](self, y_true, below, w)
        return interval_estimate(self.value(y_true, above) - self.value(y_true, below), draws, len(y_true))


class PrimaryMetricParams(ratchet.params.Params):
    """The primary metric as the task names it."""

    labels: Labels
    primary_metric: task.PrimaryMetric
    rare_class: RareClass
    cost_matrix: CostMatrixOfTask

    def metric_of(self, classes: Sequence[str]) -> PrimaryMetric:
        """The metric for a model of these classes, whose order may be another than the task's; see `primary_metric`."""
        known = [self.labels.index(name) for name in classes] if self.cost_matrix else []
        costs = [[self.cost_matrix[true][predicted] for predicted in known] for true in known]
        return primary_metric(self.primary_metric, classes, self.rare_class, costs)


def primary_metric(
    name: str, classes: Sequence[str], rare_class: str = "", cost_matrix: CostMatrix = ()
) -> PrimaryMetric:
    """The metric of that name for these classes.

    A rare class or a cost matrix that the metric does not use is checked all the same and has no effect, so that
    comparing with another metric is the change of one word.

    Raises:
        ParamsError: an unknown name; a rare class that is none of the classes; costs that are no square over the
            classes, negative, or such that an error is cheaper than the right answer; what the metric needs is missing.
    """
    if name not in get_args(MetricName):
        raise _error("primary_metric", "is unknown", name, " · ".join(get_args(MetricName)))
    if rare_class and rare_class not in classes:
        raise _error("rare_class", "is none of the classes", rare_class, f"one of {', '.join(classes)}")
    if name == "average_precision" and not rare_class:
        raise _error("rare_class", "is empty, and average_precision needs it", "''", f"one of {', '.join(classes)}")
    if name == "expected_cost" and not cost_matrix:
        raise _error("cost_matrix", "is empty, and expected_cost needs it", "[]", _square(len(classes)))
    if cost_matrix:
        _check_costs(cost_matrix, len(classes))
    costs = tuple(tuple(map(float, row)) for row in cost_matrix)
    return PrimaryMetric(name, tuple(classes), rare_class, costs)  # type: ignore[arg-type]  # checked above


def _check_costs(costs: CostMatrix, n_classes: int) -> None:
    """Elkan's reasonableness for k classes: the right answer is the cheapest, and not all answers cost the same.

    A right answer may cost something (a person who handles it), and two classes may be confused for nothing.
    Source: Elkan 2001, The foundations of cost-sensitive learning, section 1.1, IJCAI.
    """
    if len(costs) != n_classes or any(len(row) != n_classes for row in costs):
        raise _error("cost_matrix", "has the wrong shape", [len(row) for row in costs], _square(n_classes))
    if not all(math.isfinite(cost) and cost >= 0 for row in costs for cost in row):
        raise _error("cost_matrix", "holds what is no cost", costs, "finite numbers of at least 0")
    if dear := [index for index, row in enumerate(costs) if row[index] > min(row)]:
        got = f"row {dear[0]}: {list(costs[dear[0]])}"
        raise _error(
            "cost_matrix", "makes an error cheaper than the right answer", got, "the diagonal least in its row"
        )
    if all(row[index] == max(row) for index, row in enumerate(costs)):
        raise _error("cost_matrix", "makes no error cost more than the right answer", costs, "one that does")


def _square(n_classes: int) -> str:
    return f"{n_classes} rows (true class) of {n_classes} costs (predicted class)"


def _error(key: str, what: str, got: object, expected: str) -> ParamsError:
    return ParamsError(f"The {key} {what}.", where=f"params.yaml: {key}", got=got, expected=expected)


def _accuracy(_metric: PrimaryMetric, y_true: Indices, proba: Proba, w: Weights) -> Draws:
    """Share of texts whose most probable class is the true one."""
    return mean_draws(proba.argmax(axis=1) == y_true, w)


def _macro_f1(metric: PrimaryMetric, y_true: Indices, proba: Proba, w: Weights) -> Draws:
    """Mean F1 over the classes that are true or predicted anywhere, see `macro_f1_estimate`."""
    return macro_f1_draws(y_true, proba.argmax(axis=1), len(metric.classes), w)


def _balanced_accuracy(metric: PrimaryMetric, y_true: Indices, proba: Proba, w: Weights) -> Draws:
    """Mean recall over the classes that have a text.

    Source: Brodersen et al. 2010, https://doi.org/10.1109/ICPR.2010.764; scikit-learn, `balanced_accuracy_score`.
    """
    correct = proba.argmax(axis=1) == y_true
    recall = group_draws(correct[:, None], y_true[:, None] == np.arange(len(metric.classes)), w)  # (draws, classes)
    present = np.isfinite(recall)
    return quotients(np.where(present, recall, 0.0).sum(axis=1), present.sum(axis=1).astype(np.float64))


def _average_precision(metric: PrimaryMetric, y_true: Indices, proba: Proba, w: Weights) -> Draws:
    """Mean, over the texts of the rare class, of the precision among texts at least as probable; NaN without any.

    The rate of the rare class is what chance reaches, 1 a perfect ranking. Equal probabilities are one threshold.
    Source: scikit-learn, `average_precision_score`: Σ (Rₙ − Rₙ₋₁) Pₙ, not interpolated.
    """
    column = metric.classes.index(metric.rare_class)
    order = np.argsort(-proba[:, column], kind="stable")
    score, w = -proba[order, column], w[:, order]
    found = np.flatnonzero(y_true[order] == column)  # (n_found,)
    end = np.searchsorted(score, score[found], side="right") - 1  # the last text at each one's threshold
    own = w[:, found].astype(np.float64)  # (n_draws, n_found)
    hits = np.cumsum(own, axis=1)[:, np.searchsorted(found, end, side="right") - 1]
    seen = np.cumsum(w, axis=1, dtype=np.float64)[:, end]
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return quotients((own * precision).sum(axis=1), own.sum(axis=1))


def _expected_cost(metric: PrimaryMetric, y_true: Indices, proba: Proba, w: Weights) -> Draws:
    """Mean cost of answering with the most probable class, in the unit of the cost matrix; 0 is perfect or free.

    This is what is served. The decision of least expected cost (Elkan 2001, equation 1) would be judged here, but
    made nowhere, and rests on calibrated probabilities, which a model in training does not have.
    """
    cost = np.asarray(metric.costs)[y_true, proba.argmax(axis=1)]
    return quotients(w.astype(np.float64) @ cost, w.sum(axis=1).astype(np.float64))


DRAWS: dict[MetricName, Callable[[PrimaryMetric, Indices, Proba, Weights], Draws]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "balanced_accuracy": _balanced_accuracy,
    "average_precision": _average_precision,
    "expected_cost": _expected_cost,
}
"""Name → the metric under each draw, (n_draws,)."""
