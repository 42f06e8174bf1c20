"""Changes of the classes: renamed, merged, split or dropped after people have answered.

The batches of the label store stay as they are; a change is an entry of the pointer that says how the batches before it
are read. So history keeps what people said, and everything that reads the store sees the classes of today.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

import pydantic

from ratchet.errors import TableError

if TYPE_CHECKING:
    import pandas as pd

Change = Literal["rename", "merge", "split", "drop"]
SIZES = {"rename": "1 to 1", "merge": "2 or more to 1", "split": "1 to 2 or more", "drop": "1 to 0"}
"""Number of classes before and after each change."""


class ClassChange(pydantic.BaseModel):
    """One change, in the pointer of the label store."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    change: Change
    """What was done."""
    old: list[str] = pydantic.Field(min_length=1)
    """The classes that are no more."""
    new: list[str]
    """The classes that took their place; none for `drop`."""
    n_batches: int = pydantic.Field(ge=0)
    """Batches of the store before the change: those that it applies to."""

    @property
    def to(self) -> str | None:
        """The class that answers of the old ones name now; None: they name none any more."""
        return self.new[0] if self.change in ("rename", "merge") else None


def checked_change(
    change: Change, old: Sequence[str], new: Sequence[str], known: Collection[str], n_batches: int
) -> ClassChange:
    """The change, if it can be meant.

    Args:
        change: what is done.
        old: classes that are no more.
        new: classes in their place.
        known: the classes that the data has, and those that people's answers name.
        n_batches: of the store so far.

    Raises:
        TableError: an old class is unknown, a class is named twice, or the number of classes does not fit the change.
    """
    fits = {
        "rename": len(old) == len(new) == 1,
        "merge": len(old) >= 2 and len(new) == 1,
        "split": len(old) == 1 and len(new) >= 2,
        "drop": len(old) == 1 and not new,
    }
    if not fits[change]:
        got = f"{len(old)} to {len(new)}"
        raise TableError(f"'{change}' does not fit so many classes.", got=got, expected=SIZES[change])
    if unknown := [name for name in old if name not in known]:
        raise TableError("There is no such class.", got=unknown[0], expected=", ".join(sorted(known)))
    twice = len({*old}) < len(old) or len({*new}) < len(new) or (change != "merge" and {*old} & {*new})
    if twice or not all(name.strip() for name in new):
        raise TableError("A class is named twice, or has no name.", got=", ".join([*old, *new]))
    if change == "rename" and new[0] in known:
        raise TableError(
            "The class is there already.",
            got=new[0],
            fix=f"merge them instead: ratchet labels merge {old[0]} {new[0]} --into {new[0]}",
        )
    return ClassChange(change=change, old=list(old), new=list(new), n_batches=n_batches)


def present_annotations(annotations: pd.DataFrame, changes: Sequence[ClassChange]) -> pd.DataFrame:
    """Answers as they count now: of a split class they are left out, of a dropped one they are skips."""
    for change in changes:
        hit = annotations["label"].isin(change.old)
        if change.change == "split":
            annotations, hit = annotations[~hit], hit[~hit]
        if hit.any():
            annotations = annotations.assign(label=annotations["label"].mask(hit, change.to))
    return annotations.reset_index(drop=True)


def present_decisions(decisions: pd.DataFrame, changes: Sequence[ClassChange]) -> pd.DataFrame:
    """Decisions as they hold now: of a split class none was taken, of a dropped one the text is unusable."""
    for change in changes:
        hit = decisions["label"].isin(change.old)
        if change.change == "split":
            decisions, hit = decisions[~hit], hit[~hit]
        if hit.any():
            decisions = decisions.assign(label=decisions["label"].mask(hit, change.to))
            if change.change == "drop":
                decisions = decisions.assign(state=decisions["state"].mask(hit, "unusable"))
    return decisions.reset_index(drop=True)


def present_name(label: str, changes: Sequence[ClassChange]) -> str:
    """The class that an answer means which names one of yesterday; a skip (empty) where it was dropped.

    >>> change = ClassChange(change="merge", old=["a", "b"], new=["c"], n_batches=0)
    >>> present_name("a", [change]), present_name("x", [change])
    ('c', 'x')
    """
    for change in changes:
        if label in change.old and change.change != "split":
            label = change.to or ""
    return label
