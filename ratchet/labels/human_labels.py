"""People's labels joined with the pool: a person's label wins over the data set's, held-out texts stay held out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.held_out import NearDuplicatesOf

if TYPE_CHECKING:
    import pandas as pd


class Joined(NamedTuple):
    """The pool joined with human labels."""

    train: pd.DataFrame
    """The pool, row by row as it was, with people's labels in place of its own."""
    by_people: NDArray[np.bool_]
    """Whether a person labelled the row, (n_train,)."""
    elsewhere: pd.DataFrame
    """Labelled texts that are not in the pool: id, text, label, source; in order of their ids."""


class Usable(NamedTuple):
    """The resolved decisions, by whether they may be trained on."""

    labels: pd.DataFrame
    """Those that may, in order of their ids."""
    n_held_out: int
    """Resolved decisions on held-out texts themselves."""
    n_near_held_out: int
    """Resolved decisions on texts outside the pool that nearly duplicate a held-out text."""


def usable_labels(
    decisions: pd.DataFrame, pool_ids: Iterable[str], held_out: Iterable[pd.DataFrame], threshold: float
) -> Usable:
    """The resolved decisions on texts that may be trained on; one that may not is counted.

    Args:
        decisions: the current ones, a row a text, of `HUMAN_LABELS`.
        pool_ids: ids of the training split, whose texts are known to be no near-duplicates of held-out ones.
        held_out: id and text of what must not be trained on, the other splits, in batches; read once, and only if
            there are decisions.
        threshold: Jaccard similarity of three-word shingles from which two texts are near-duplicates, in (0, 1].
    """
    resolved = decisions[decisions["state"] == "resolved"].sort_values("id", ignore_index=True)
    exact, near = (np.zeros(len(resolved), dtype=bool) for _ in range(2))
    if not len(resolved):
        return Usable(resolved, 0, 0)
    elsewhere = ~resolved["id"].isin(list(pool_ids)).to_numpy()
    few = NearDuplicatesOf(resolved["text"][elsewhere].tolist(), threshold)
    for batch in held_out:
        exact |= resolved["id"].isin(batch["id"]).to_numpy()
        near[elsewhere] |= few.among(batch["text"].tolist())
    near &= ~exact
    return Usable(resolved[~(exact | near)].reset_index(drop=True), int(exact.sum()), int(near.sum()))


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
