"""People's labels joined with the pool: a person's label wins over the data set's, and held-out texts stay held out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


class Joined(NamedTuple):
    """The pool with what people said."""

    train: pd.DataFrame
    """The pool, row by row as it was, with people's labels in place of its own."""
    by_people: NDArray[np.bool_]
    """Whether a person labelled the row, (n_train,)."""
    elsewhere: pd.DataFrame
    """Labelled texts that are not in the pool: id, text, label, source; in order of their ids."""


def usable_labels(decisions: pd.DataFrame, held_out: Iterable[str]) -> tuple[pd.DataFrame, int]:
    """The resolved decisions on texts that may be trained on, in order of their ids; how many others are resolved.

    Args:
        decisions: the current ones, a row a text, of `HUMAN_LABELS`.
        held_out: ids that must not be trained on: those of the other splits.
    """
    resolved = decisions[decisions["state"] == "resolved"].sort_values("id", ignore_index=True)
    usable = resolved[~resolved["id"].isin(list(held_out))].reset_index(drop=True)
    return usable, len(resolved) - len(usable)


def join_human_labels(train: pd.DataFrame, human_labels: pd.DataFrame) -> Joined:
    """The pool with people's labels; without any it is the pool as it was.

    Args:
        train: rows of a split.
        human_labels: resolved decisions, a row a text, of `HUMAN_LABELS`.
    """
    elsewhere = human_labels.loc[~human_labels["id"].isin(train["id"]), ["id", "text", "label", "source"]]
    by_people = train["id"].isin(human_labels["id"]).to_numpy(dtype=bool)
    if by_people.any():
        label = train["id"].map(human_labels.set_index("id")["label"]).where(by_people, train["label"])
        train = train.assign(label=label)
    return Joined(train, by_people, elsewhere.reset_index(drop=True))
