"""Rates by group with their bootstrap draws, the work of which grows neither with the groups nor with the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Draws, Weights, cell_totals, interval_estimate, unit_weights
from ratchet.measure.estimate import Estimate, undefined

Names = NDArray[np.str_]
Column = tuple[str, NDArray[Any], NDArray[np.bool_]]
"""A measure, its value for each row (n,), and the rows that count (n,)."""


@dataclass(frozen=True)
class Rate:
    """A rate in one group: its value, its bootstrap draws (n_draws,), and the rows it rests on."""

    value: float
    draws: Draws
    n: int
    reason: str = ""
    """Why the value is NaN, when it is."""

    def estimate(self) -> Estimate:
        """The rate with its 95 % interval; undefined, with the reason, when it rests on too few rows."""
        return undefined(self.reason, self.n) if self.reason else interval_estimate(self.value, self.draws, self.n)


def group_rates(columns: Sequence[Column], groups: Names, least: int, w: Weights) -> dict[str, dict[str, Rate]]:
    """Group → measure → the mean of its values over its rows in the group.

    Args:
        columns: the measures.
        groups: the group of each row, (n,).
        least: a rate that rests on fewer rows is NaN.
        w: bootstrap weights, (n_draws, n).
    """
    names, member = np.unique(groups, return_inverse=True)
    place, n_large = _large(member, least)
    parts = []
    for _, values, rows in columns:
        cells = np.where(rows, place[member], -1)
        parts += [(values, cells, n_large), (rows, cells, n_large)]
    totals = cell_totals(parts, _with_sample(w))
    counts = [np.bincount(member[rows], minlength=len(names)) for _, _, rows in columns]
    return {
        str(name): {
            measure: _rate(totals[2 * at], totals[2 * at + 1], int(place[group]), int(counts[at][group]), least)
            for at, (measure, _, _) in enumerate(columns)
        }
        for group, name in enumerate(names)
    }


def class_rates(y_true: Names, y_pred: Names, groups: Names, least: int, w: Weights) -> dict[str, dict[str, Rate]]:
    """Group → `true_positive_rate_CLASS` and `false_positive_rate_CLASS` of every class against the rest.

    Args:
        y_true: true classes, (n,).
        y_pred: predicted classes, (n,).
        groups: the group of each row, (n,).
        least: a rate that rests on fewer rows is NaN.
        w: bootstrap weights, (n_draws, n).
    """
    names, member = np.unique(groups, return_inverse=True)
    labels, coded = np.unique(np.concatenate([y_true, y_pred]), return_inverse=True)
    true, pred, n_classes = coded[: len(y_true)], coded[len(y_true) :], len(labels)
    place, n_large = _large(member, least)
    group, right, everyone = place[member], true == pred, np.ones(len(true))
    of_true, of_pred = (np.where(group >= 0, group * n_classes + index, -1) for index in (true, pred))
    n_cells = n_large * n_classes
    hits, positives, false, sizes = cell_totals(
        [
            (right, of_true, n_cells),
            (everyone, of_true, n_cells),
            (~right, of_pred, n_cells),
            (everyone, group, n_large),
        ],
        _with_sample(w),
    )
    negatives = np.repeat(sizes, n_classes, axis=0) - positives
    counts = np.bincount(member * n_classes + true, minlength=len(names) * n_classes).reshape(len(names), n_classes)
    found: dict[str, dict[str, Rate]] = {}
    for at, name in enumerate(names):
        found[str(name)] = rates = {}
        n_rows = int(counts[at].sum())
        for index, (label, n) in enumerate(zip(labels, counts[at].tolist(), strict=True)):
            cell = int(place[at]) * n_classes + index
            rates[f"true_positive_rate_{label}"] = _rate(hits, positives, cell, n, least)
            rates[f"false_positive_rate_{label}"] = _rate(false, negatives, cell, n_rows - n, least)
    return found


def _large(member: NDArray[np.int64], least: int) -> tuple[NDArray[np.int64], int]:
    """The place of each group among those of at least `least` rows, -1 for a smaller one; and how many these are."""
    enough = np.bincount(member) >= least
    return np.where(enough, np.cumsum(enough) - 1, -1), int(enough.sum())


def _with_sample(w: Weights) -> Weights:
    """The weights, with those of the sample as it is before them: (1 + n_draws, n)."""
    return np.vstack([unit_weights(w.shape[1]), w])


def _rate(above: Draws, below: Draws, cell: int, n: int, least: int) -> Rate:
    """The quotient of two totals in a cell, the first column of which is the sample's."""
    if n < least:
        return Rate(float("nan"), np.zeros(0), n, f"rests on {n} texts, fewer than {least}")
    quotient = np.divide(above[cell], below[cell], out=np.full(above.shape[1], np.nan), where=below[cell] > 0)
    return Rate(float(quotient[0]), quotient[1:], n)
