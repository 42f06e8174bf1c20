"""Erasure of texts from the label store: its batches are written anew, and the pointer names the new ones in one step.

The one exception to a store that is only added to: what was said about a person can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.files import read_json, write_json
from ratchet.labels.remarks import WORDS
from ratchet.labels.store import TABLES, Batch, read_pointer, write_batch
from ratchet.table_files import read_table

if TYPE_CHECKING:
    import pandas as pd


def erase_rows(
    pointer: Path, folder: Path, is_about: Callable[[pd.DataFrame], list[bool]], is_quote: Callable[[str], bool]
) -> int:
    """Write the store without the rows that `is_about` names, and without remarks that `is_quote` finds a text in.

    Returns how many rows were left out or lost a remark.

    Killed before the pointer is written the store is as it was; after it, files that no pointer names are left, which
    the next call deletes. Changes of the classes keep applying to the batches that they applied to.

    Raises:
        TableError: the pointer or a batch is damaged.
    """
    batches, kept, n_rows = read_pointer(pointer), list[Batch | None](), 0
    for batch in batches:
        frame = read_table(folder / batch.file, TABLES[batch.table])
        about = is_about(frame)
        rest, n_quotes = _without_quotes(frame[[not row for row in about]].reset_index(drop=True), is_quote)
        n_rows += sum(about) + n_quotes
        kept.append(write_batch(folder, rest, TABLES[batch.table]) if any(about) or n_quotes else batch)
    left = [batch for batch in kept if batch is not None]
    if left != batches:
        value = read_json(pointer)
        value["batches"] = [batch.model_dump() for batch in left]
        for change in value.get("class_changes", []):
            change["n_batches"] = sum(batch is not None for batch in kept[: change["n_batches"]])
        write_json(pointer, value)
    for path in folder.glob("*.parquet"):
        if path.name not in {batch.file for batch in left}:
            path.unlink()
    return n_rows


def _without_quotes(frame: pd.DataFrame, is_quote: Callable[[str], bool]) -> tuple[pd.DataFrame, int]:
    """The rows without the remarks that quote a text, and how many rows had one."""
    hits: dict[str, list[bool]] = {
        name: [isinstance(value, str) and is_quote(value) for value in frame[name]]
        for name in WORDS
        if name in frame.columns
    }
    for name, hit in hits.items():
        frame.loc[hit, name] = None
    return frame, sum(map(any, zip(*hits.values(), strict=True))) if hits else 0
