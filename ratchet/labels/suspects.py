"""Suspected label errors, as items to annotate again."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ratchet.labels.annotations import Item

if TYPE_CHECKING:
    import pandas as pd

SUSPECT = "suspect"
"""Query strategy of texts that were sent as suspected label errors."""


def suspect_items(suspects: pd.DataFrame, asked: Collection[str], n: int) -> list[Item]:
    """At most `n` texts whose labels are trained on and look wrong, most suspicious first, each with the reason.

    A held-out text is left out: what it is labelled as is never trained on, and correcting test labels where a model
    errs would flatter it. Nothing is suggested to the person: the reason names both classes.

    Args:
        suspects: rows of `SUSPECTS`.
        asked: ids of texts that people were asked about before.
        n: texts at most.
    """
    chosen = suspects[(suspects["part"] == "labeled") & ~suspects["id"].isin(list(asked))]
    return [
        Item(
            str(row.id),
            str(row.text),
            str(row.source),
            query_strategy=SUSPECT,
            reason=f"labelled {row.label}, to which a model that never saw this label gives {row.score:.2f}; "
            f"{row.suggested} is likelier to it",
        )
        for row in chosen.sort_values("rank").head(n).itertuples(index=False)
    ]
