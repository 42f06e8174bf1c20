"""The rows that decide about a split: those that passed validation, and those in quarantine that placed others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratchet.data.batches import Batches
from ratchet.data.near_duplicates import NearDuplicates, NearDuplicateSearch
from ratchet.data.shingles import Shingles

if TYPE_CHECKING:
    import pandas as pd


def placing_rows(
    validated: Batches, quarantine: Batches, extra: Sequence[str], threshold: float, folder: Path | None = None
) -> tuple[pd.DataFrame, NearDuplicates]:
    """Row, id, label, source and `extra` columns in corpus order, and which of these rows are near-duplicates.

    `ghost` marks rows in quarantine: they place others as they did before they went there.

    Args:
        validated: the corpus, read twice.
        quarantine: what was set aside, with the rule that each row broke.
        extra: further columns.
        threshold: Jaccard similarity from which two texts are near-duplicates.
        folder: for temporary files.
    """
    import pandas as pd

    columns, ghosts = ["row", "id", "text", "label", "source", *extra], _ghosts(validated, quarantine)

    def read() -> Iterator[pd.DataFrame]:
        yield from (frame.assign(ghost=False) for frame in validated(columns))
        for frame in quarantine(columns):
            yield frame[frame["row"].isin(ghosts)].assign(ghost=True)

    parts = []
    with NearDuplicateSearch(threshold, folder) as search:
        for frame in read():
            search.add(Shingles(frame["text"].tolist()))
            parts.append(frame.drop(columns="text"))
        rows = pd.concat(parts, ignore_index=True)
        order = np.argsort(rows["row"].to_numpy(), kind="stable")
        positions = np.empty(len(order), dtype=np.int64)
        positions[order] = np.arange(len(order))
        near = search.finish(frame["text"].tolist() for frame in read()).placed(positions)
    return rows.iloc[order].reset_index(drop=True), near


def _ghosts(validated: Batches, quarantine: Batches) -> set[int]:
    """The column `row` of quarantined rows that placed others before a later row sent them there.

    They are the first rows of contradicted texts, and those without a label whose labelled twin came later.
    """
    found: dict[str, int] = {}
    unlabelled: dict[str, int] = {}
    for frame in quarantine(["row", "id", "label", "rule"]):
        twins = frame["rule"].eq("exact_duplicate") & frame["label"].isna()
        for kind, chosen in ((found, frame["rule"].eq("conflicting_labels")), (unlabelled, twins)):
            for key, row in zip(frame["id"][chosen], frame["row"][chosen], strict=True):
                kind.setdefault(key, int(row))
    if unlabelled:
        for frame in validated(["row", "id"]):
            later = frame[frame["id"].isin(unlabelled)]
            for key, row in zip(later["id"], later["row"], strict=True):
                if row > unlabelled[key]:
                    found.setdefault(key, unlabelled[key])
    return set(found.values())
