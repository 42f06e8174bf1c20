"""The cases of a challenge set: texts of weak slices, and edited texts beside the texts they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ratchet.data.sampling import unit_hash
from ratchet.tables import CHALLENGE, empty_table
from ratchet.trust.text_edits import Turning
from ratchet.trust.weak_slices import Mask

if TYPE_CHECKING:
    import pandas as pd

STEP = 0.9
"""By how much the kept share shrinks when there are too many."""


def keep_at_most(ids: Sequence[str], salt: str, most: int) -> Mask:
    """Which ids are kept, (n,): those whose hash lies below the largest of 1, 0.9, 0.81, … that keeps at most `most`.

    An id that is kept stays so when others arrive, until there are more than `most`: then the bound falls by a tenth,
    and those that remain are a part of those before. With a larger `most`, nobody leaves.

    Source: adaptive sampling, Flajolet 1990, On adaptive sampling, https://doi.org/10.1007/BF02241657.
    """
    hashes = np.array([unit_hash(key, salt) for key in ids], dtype=np.float64)
    bound = 1.0
    while (hashes < bound).sum() > most:
        bound *= STEP
    return hashes < bound


def slice_cases(test: pd.DataFrame, masks: Mapping[str, Mask]) -> pd.DataFrame:
    """The test texts of each slice, unedited; a text is there once for each slice that it is in."""
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "id": test["id"][mask],
                "kind": "weak",
                "name": name,
                "text": test["text"][mask],
                "label": test["label"][mask],
            }
        )
        for name, mask in masks.items()
    ]
    return _frame(pd.concat(parts, ignore_index=True) if parts else None)


def edited_cases(
    test: pd.DataFrame,
    edits: Mapping[str, Mapping[str, Turning]],
    kind: str,
    salt: str,
    most: int,
) -> pd.DataFrame:
    """The edited test texts, at most `most` of each edit.

    Args:
        test: labelled texts.
        edits: label → name → edit of texts of that label, and the label of the edited text.
        kind: 'contrast' or 'invariance'.
        salt: of the choice among texts that an edit applies to.
        most: see `keep_at_most`.
    """
    import pandas as pd

    found: dict[str, list[tuple[str, str, str, str, str]]] = {}
    for key, text, label in zip(test["id"], test["text"], test["label"], strict=True):
        for name, (edit, becomes) in edits.get(label, {}).items():
            if (edited := edit(text, key)) != text:
                found.setdefault(name, []).append((key, kind, name, edited, becomes))
    rows = []
    for name, cases in sorted(found.items()):
        kept = keep_at_most([case[0] for case in cases], f"{salt}-{name}", most)
        rows += [case for case, keep in zip(cases, kept, strict=True) if keep]
    return _frame(pd.DataFrame(rows, columns=list(CHALLENGE.columns)) if rows else None)


def _frame(frame: pd.DataFrame | None) -> pd.DataFrame:
    return empty_table(CHALLENGE) if frame is None else frame.astype("str")
