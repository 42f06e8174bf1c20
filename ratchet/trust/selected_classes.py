"""The classes whose prediction counts as being selected, held against those that there are."""

from __future__ import annotations

from collections.abc import Collection

from ratchet.errors import TableError


def need_classes(named: Collection[str], classes: Collection[str], where: str) -> None:
    """Refuse names of no class: the probability of none of them moves, and every gap would be a perfect 0.

    Raises:
        TableError: with the names and the classes.
    """
    if unknown := sorted(set(named) - set(classes)):
        raise TableError(
            "A positive label is no class.",
            where=where,
            got=", ".join(unknown),
            expected=f"some of {', '.join(sorted(classes))}",
            fix="name classes of the data",
        )
