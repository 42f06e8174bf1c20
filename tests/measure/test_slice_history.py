"""Drops of watched slices: the paired change, the bound, and what chance may explain."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ratchet.measure.bootstrap import weights
from ratchet.measure.primary import PrimaryMetric, primary_metric
from ratchet.measure.slice_history import drop_warnings, slice_figures, slice_line

MASKS = {"first": np.arange(200) < 100, "second": np.arange(200) >= 100}
Y_TRUE = np.arange(200) % 10 // 9
"""One text in ten is of the second class."""
ACCURACY = primary_metric("accuracy", ["common", "rare"])


def proba(right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Sure answers, right where that is asked for."""
    return np.eye(2)[np.where(right, Y_TRUE, 1 - Y_TRUE)]


def figures_of(
    right: np.ndarray[Any, Any], before: np.ndarray[Any, Any] | None, metric: PrimaryMetric = ACCURACY
) -> dict[str, dict[str, Any]]:
    w = weights(200, 200, np.random.default_rng(0))
    return slice_figures(MASKS, metric, Y_TRUE, proba(right), None if before is None else proba(before), w)


def test_a_slice_that_falls_is_warned_of_although_the_whole_stands_still() -> None:
    before = np.arange(200) % 100 < 80
    right = before.copy()
    right[60:80] = False  # 20 of the first slice are lost,
    right[180:200] = True  # 20 of the second won
    figures = figures_of(right, before)
    assert before.sum() == right.sum()
    assert figures["first"]["change"]["value"] == pytest.approx(-0.2)
    assert figures["second"]["primary"]["value"] == 1
    assert figures["second"]["primary"]["low"] < 1  # 100 right answers of 100 leave room for a wrong one
    (line,) = drop_warnings(figures, "accuracy", 0.05)
    assert "accuracy of slice first is worse by 0.200" in line
    assert "chance" not in line
    assert drop_warnings(figures, "accuracy", 0.2) == []
    assert "first 0.600 (100)  second 1.000 (100)" in slice_line(figures)


def test_a_fall_that_chance_explains_is_called_so_and_the_first_epoch_has_none() -> None:
    before = np.ones(200, dtype=bool)
    before[:10] = False
    right = np.ones(200, dtype=bool)
    right[10:26] = False  # 10 won, 16 lost of 100
    (line,) = drop_warnings(figures_of(right, before), "accuracy", 0.05)
    assert "may be chance" in line
    assert drop_warnings(figures_of(right, None), "accuracy", 0.0) == []


@pytest.mark.parametrize("name", ["macro_f1", "balanced_accuracy", "expected_cost", "average_precision"])
def test_losing_the_rare_class_is_a_fall_by_another_metric_than_accuracy(name: str) -> None:
    from sklearn.metrics import f1_score

    metric = primary_metric(name, ["common", "rare"], "rare", [[0, 1], [9, 0]])
    before = (np.arange(200) % 20 != 0) | (np.arange(200) >= 100)  # 5 common texts of the first slice are wrong
    right = ~((Y_TRUE == 1) & (np.arange(200) < 50))  # then its 5 first rare ones are instead
    assert drop_warnings(figures_of(right, before), "accuracy", 0.02) == []
    figures = figures_of(right, before, metric)
    (line,) = drop_warnings(figures, name, 0.02)
    assert f"{name} of slice first is worse by" in line
    if name == "macro_f1":
        y_true, y_pred = Y_TRUE[:100], proba(right)[:100].argmax(axis=1)
        assert figures["first"]["primary"]["value"] == pytest.approx(f1_score(y_true, y_pred, average="macro"))


def test_a_slice_without_a_text_that_defines_the_metric_says_so() -> None:
    metric = primary_metric("average_precision", ["common", "rare"], "rare")
    right, w = np.ones(200, dtype=bool), weights(200, 50, np.random.default_rng(0))
    (figures,) = slice_figures({"common": Y_TRUE == 0}, metric, Y_TRUE, proba(right), proba(right), w).values()
    assert figures["primary"]["reason"] == figures["change"]["reason"] == "no text is of class 'rare'"
    assert drop_warnings({"common": figures}, metric.name, 0.0) == []


def test_a_process_that_shares_the_memory_of_another_does_not_wipe_out_what_that_one_counted() -> None:
    import torch

    from ratchet.measure.slice_history import SliceHistory

    one = SliceHistory({"all": np.ones(2, dtype=bool)}, 0.05, ACCURACY, np.array([0, 1]), seed=0)
    other = copy.copy(one)  # as spawned processes get it: an object of its own over the same tensor
    trainer = SimpleNamespace(world_size=1, current_epoch=0, is_global_zero=False)
    one.on_validation_epoch_start(trainer, None)
    counted = {"row": torch.tensor([1]), "logits": torch.tensor([[0.0, 2.0]])}
    one.on_validation_batch_end(trainer, None, counted, None, 0)
    other.on_validation_epoch_start(trainer, None)
    one.on_train_epoch_end(trainer, None)
    assert one.rows[0]["primary"]["value"] == 1.0
