"""The figures of a split, taken from the tables that are about to be written: does anything leak, is anything lost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.data.near_duplicates import NearDuplicates
from ratchet.data.splits import EXCLUDED, SIDES

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "column": "columns of the tables with their types, one value each",
    "n_leaked_ids": "texts that lie on several sides",
    "n_leaked_groups": "groups that lie on several sides",
    "n_leaked_pairs": "pairs of near-duplicates, and sets of equal texts, that lie on several sides",
    "n_lost": "rows that came in less rows that went out",
    "n_unlabelled_held_out": "rows of validation, test or transfer without a label",
    "rarest_test_class_rate": "share of the class that is rarest in the test; undefined without a test",
    "excluded_rate": "share of the rows that belong to no side",
}


def split_figures(
    tables: Mapping[str, pd.DataFrame],
    n_in: int,
    n_unsampled: int,
    near: NearDuplicates,
    rows: NDArray[np.int64],
) -> dict[str, float]:
    """Those figures, but for `column`.

    Args:
        tables: side → its rows, with at least `row`, `id`, `label` and `group`.
        n_in: rows that came in.
        n_unsampled: rows of the other domain that were not sampled.
        near: near-duplicates among the texts that placed others.
        rows: the column `row` of these texts, ascending.
    """
    import pandas as pd

    inside = pd.concat([tables[side][["row", "id", "group"]].assign(side=code) for code, side in enumerate(SIDES)])
    n_out = sum(len(table) for table in tables.values())
    classes = {label for table in tables.values() for label in table["label"].dropna().unique()}
    test = tables["test"]["label"].value_counts()
    return {
        "n_leaked_ids": _n_leaked(inside, "id"),
        "n_leaked_groups": _n_leaked(inside, "group"),
        "n_leaked_pairs": _n_leaked_pairs(inside, near, rows),
        "n_lost": n_in - n_out - n_unsampled,
        "n_unlabelled_held_out": sum(int(tables[side]["label"].isna().sum()) for side in SIDES if side != "train"),
        "rarest_test_class_rate": min((int(test.get(label, 0)) for label in classes), default=0) / int(test.sum())
        if test.sum()
        else math.nan,
        "excluded_rate": len(tables[EXCLUDED]) / n_in if n_in else math.nan,
    }


def _n_leaked(inside: pd.DataFrame, column: str) -> int:
    found = inside.drop_duplicates([column, "side"])
    return int((found.groupby(column, sort=False).size() > 1).sum())


def _n_leaked_pairs(inside: pd.DataFrame, near: NearDuplicates, rows: NDArray[np.int64]) -> int:
    """Sets of texts with equal words, and pairs of near-duplicate sets, that lie on several sides: bits of a number."""
    at = np.searchsorted(rows, inside["row"].to_numpy())
    sides = np.zeros(len(rows), dtype=np.int64)
    np.bitwise_or.at(sides, near.first[at], 1 << inside["side"].to_numpy())
    both = np.concatenate([sides[np.unique(near.first)], sides[near.pairs[:, 0]] | sides[near.pairs[:, 1]]])
    return int((both & (both - 1) != 0).sum())
