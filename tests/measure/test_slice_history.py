"""Falls of watched slices: the paired change, the bound, and what chance may explain."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from ratchet.measure.slice_history import falls, slice_figures, told

MASKS = {"first": np.arange(200) < 100, "second": np.arange(200) >= 100}


def test_a_slice_that_falls_is_warned_of_although_the_whole_stands_still() -> None:
    before = np.arange(200) % 100 < 80
    right = before.copy()
    right[60:80] = False  # 20 of the first slice are lost,
    right[180:200] = True  # 20 of the second won
    figures = slice_figures(MASKS, right, before)
    assert before.sum() == right.sum()
    assert figures["first"]["change"]["value"] == pytest.approx(-0.2)
    assert figures["second"]["accuracy"]["value"] == 1
    (line,) = falls(figures, 0.05)
    assert "slice first fell by 0.200" in line
    assert "chance" not in line
    assert falls(figures, 0.2) == []
    assert "first 0.600 (100)  second 1.000 (100)" in told(figures)


def test_a_fall_that_chance_explains_is_called_so_and_the_first_epoch_has_none() -> None:
    before = np.ones(200, dtype=bool)
    before[:10] = False
    right = np.ones(200, dtype=bool)
    right[10:26] = False  # 10 won, 16 lost of 100
    (line,) = falls(slice_figures(MASKS, right, before), 0.05)
    assert "may be chance" in line
    assert falls(slice_figures(MASKS, right, None), 0.0) == []


def test_a_process_that_shares_the_memory_of_another_does_not_wipe_out_what_that_one_counted() -> None:
    import torch

    from ratchet.measure.slice_history import SliceHistory

    one = SliceHistory({"all": np.ones(2, dtype=bool)}, 0.05)
    other = copy.copy(one)  # as spawned processes get it: an object of its own over the same tensor
    trainer = SimpleNamespace(world_size=1, current_epoch=0, is_global_zero=False)
    one.on_validation_epoch_start(trainer, None)
    counted = {"row": torch.tensor([1]), "right": torch.ones(1, dtype=torch.float64)}
    one.on_validation_batch_end(trainer, None, counted, None, 0)
    other.on_validation_epoch_start(trainer, None)
    one.on_train_epoch_end(trainer, None)
    assert one.rows[0]["accuracy"]["value"] == 0.5
