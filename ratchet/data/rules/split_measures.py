"""The measures of a split, taken from the tables that are about to be written: does anything leak, is anything lost?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.data.near_duplicates import NearDuplicates
from ratchet.data.rules.tallies import Measure, encode
from ratchet.data.splits import EXCLUDED, SIDES

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {
    "column": "columns of the tables with their types",
    "n_sides_of_id": "sides on which a text lies, one value a text",
    "n_sides_of_group": "sides on which a group lies, one value a group",
    "n_sides_of_pair": "sides on which two near-duplicates lie, one value a pair, and one a set of equal texts",
    "n_lost": "rows that came in less rows that went out, one value",
    "unlabelled_in_test": "1 where a row of validation, test or transfer has no label, else 0",
    "test_label": "label of each row of the test",
    "excluded": "1 where a row belongs to no side, else 0",
}


def measure_splits(
    tables: Mapping[str, pd.DataFrame],
    n_in: int,
    n_unsampled: int,
    near: NearDuplicates,
    rows: NDArray[np.int64],
) -> dict[str, Measure]:
    """Those measures, but for `column`.

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
    asked = pd.concat([tables[side]["label"] for side in SIDES if side != "train"])
    held_out = len(tables[EXCLUDED])
    return {
        "n_sides_of_id": _n_sides(inside, "id"),
        "n_sides_of_group": _n_sides(inside, "group"),
        "n_sides_of_pair": _n_sides_of_pairs(inside, near, rows),
        "n_lost": np.array([n_in - n_out - n_unsampled]),
        "unlabelled_in_test": asked.isna().to_numpy().astype(np.int64),
        "test_label": encode(tables["test"]["label"].tolist()),
        "excluded": np.concatenate([np.ones(held_out, dtype=np.int64), np.zeros(n_in - held_out, dtype=np.int64)]),
    }


def _n_sides(inside: pd.DataFrame, column: str) -> NDArray[np.int64]:
    found = inside.drop_duplicates([column, "side"])
    return np.asarray(found.groupby(column, sort=False).size(), dtype=np.int64)


def _n_sides_of_pairs(inside: pd.DataFrame, near: NearDuplicates, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each set of texts with equal words, and of each pair of near-duplicate sets; sides as bits of a number."""
    at = np.searchsorted(rows, inside["row"].to_numpy())
    sides = np.zeros(len(rows), dtype=np.int64)
    np.bitwise_or.at(sides, near.first[at], 1 << inside["side"].to_numpy())
    both = np.concatenate([sides[np.unique(near.first)], sides[near.pairs[:, 0]] | sides[near.pairs[:, 1]]])
    return sum(((both >> bit) & 1 for bit in range(len(SIDES))), np.zeros(len(both), dtype=np.int64))
