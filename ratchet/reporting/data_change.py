"""How a table changed: rows by their id, labels, columns, and the distribution of what they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ratchet.data.words import tokens

ID, LABEL, TEXT = "id", "label", "text"


@dataclass(frozen=True)
class TableChange:
    """The change of one table."""

    name: str
    n_before: int
    n_after: int
    n_added: int
    n_removed: int
    n_relabeled: int
    schema: list[str] = field(default_factory=list)
    """`+column type`, `-column type`, `column: type → type`."""
    distribution: list[str] = field(default_factory=list)
    """What moved, in words: shares of labels, lengths of texts."""


def table_change(name: str, before: pd.DataFrame, after: pd.DataFrame) -> TableChange:
    """What was added, removed and relabelled, by id; a table without ids is compared by its rows' number only.

    >>> old = pd.DataFrame({"id": ["a", "b"], "label": ["no", "yes"]})
    >>> new = pd.DataFrame({"id": ["b", "c"], "label": ["no", "yes"]})
    >>> change = table_change("t", old, new); change.n_added, change.n_removed, change.n_relabeled
    (1, 1, 1)
    """
    if ID not in before or ID not in after:
        n_added, n_removed, n_relabeled = max(len(after) - len(before), 0), max(len(before) - len(after), 0), 0
    else:
        ids = set(before[ID]), set(after[ID])
        n_added, n_removed, n_relabeled = len(ids[1] - ids[0]), len(ids[0] - ids[1]), _n_relabeled(before, after)
    return TableChange(
        name,
        len(before),
        len(after),
        n_added,
        n_removed,
        n_relabeled,
        _schema(before, after),
        _distribution(before, after),
    )


def read_tables(path: Path) -> dict[str, pd.DataFrame]:
    """The tables of a Parquet file, or of a folder of them, by name."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix() if path.is_dir() else path.name: pd.read_parquet(file) for file in files}


def _n_relabeled(before: pd.DataFrame, after: pd.DataFrame) -> int:
    """Ids in both whose label differs; a label that appeared or went counts."""
    if LABEL not in before or LABEL not in after:
        return 0
    old, new = (frame.drop_duplicates(ID).set_index(ID)[LABEL].astype("object") for frame in (before, after))
    common = old.index.intersection(new.index)
    first, second = old.loc[common], new.loc[common]
    return int(((first != second) & ~(first.isna() & second.isna())).sum())


def _schema(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    old, new = ({str(column): str(kind) for column, kind in frame.dtypes.items()} for frame in (before, after))
    found = [f"+{name} {kind}" for name, kind in new.items() if name not in old]
    found += [f"-{name} {kind}" for name, kind in old.items() if name not in new]
    return found + [f"{name}: {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]


def _distribution(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Shares of labels that moved by a point or more, and the median length of texts where it moved."""
    found = []
    if LABEL in before and LABEL in after:
        old, new = (
            frame[LABEL].astype("object").fillna("(none)").value_counts(normalize=True) for frame in (before, after)
        )
        for label in sorted(set(old.index) | set(new.index)):
            shares = float(old.get(label, 0.0)), float(new.get(label, 0.0))
            if abs(shares[1] - shares[0]) >= 0.01:
                found.append(f"{label}: {shares[0]:.1%} → {shares[1]:.1%}")
    if TEXT in before and TEXT in after and len(before) and len(after):
        lengths = [frame[TEXT].map(lambda text: len(tokens(str(text)))).median() for frame in (before, after)]
        if lengths[0] != lengths[1]:
            found.append(f"median words: {lengths[0]:.0f} → {lengths[1]:.0f}")
    return found
