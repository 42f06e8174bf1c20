"""Erasure of texts from the label store: its batches are written anew, and the pointer names the new ones in one step.

The one exception to a store that is only added to: what was said about a person can be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.files import read_json, write_json
from ratchet.labels.store import TABLES, Batch, read_pointer, write_batch
from ratchet.table_files import read_table

if TYPE_CHECKING:
    import pandas as pd


def erase_rows(pointer: Path, folder: Path, is_about: Callable[[pd.DataFrame], list[bool]]) -> int:
    """Write the store without the rows that `is_about` names; returns their number.

    Killed before the pointer is written the store is as it was; after it, files that no pointer names are left, which
    the next call deletes. Changes of the classes keep applying to the batches that they applied to.

    Raises:
        TableError: the pointer or a batch is damaged.
    """
    batches, kept, n_rows = read_pointer(pointer), list[Batch | None](), 0
    for batch in batches:
        frame = read_table(folder / batch.file, TABLES[batch.table])
        about = is_about(frame)
        n_rows += sum(about)
        rest = frame[[not row for row in about]].reset_index(drop=True)
        kept.append(write_batch(folder, rest, TABLES[batch.table]) if any(about) else batch)
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
