"""A few labelled texts of every class, in an order that hardly changes when texts are added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.data.sampling import unit_hash

if TYPE_CHECKING:
    import pandas as pd


def classes_in_turn(frame: pd.DataFrame, salt: str) -> pd.DataFrame:
    """The labelled rows, the classes in turn and each class by the hash of its ids: the first n rows hold every class.

    Of more classes than n those whose first row has the least hash, which no name favours.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"id": list("abcd"), "label": ["common", "common", "common", "rare"]})
    >>> classes_in_turn(frame, "x")["label"].tolist()
    ['common', 'rare', 'common', 'common']

    Args:
        frame: rows with id and label; those without a label are left out.
        salt: of the hash; another one gives another order.
    """
    labelled = frame.dropna(subset="label")
    hashes = labelled["id"].map(lambda key: unit_hash(key, salt))
    ordered = labelled.loc[hashes.sort_values(kind="stable").index]
    turn = ordered.groupby("label").cumcount()
    return ordered.loc[turn.sort_values(kind="stable").index]
