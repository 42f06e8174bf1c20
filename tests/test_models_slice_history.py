"""Falls of watched slices: the paired change, the bound, and what chance may explain."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.models.slice_history import falls, slice_figures, told

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
