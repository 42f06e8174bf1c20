"""The text as the source gave it, by the id of the cleaned one."""

from __future__ import annotations

from pathlib import Path

from ratchet.table_files import read_batches
from ratchet.tables import RAW


def raw_texts(path: Path, key: str) -> dict[int, str]:
    """Row in the source → its raw text, for every row with this id whose text cleaning changed; empty: none.

    Raises:
        TableError: the table is missing or cannot be read.
    """
    found: dict[int, str] = {}
    for frame in read_batches(path, RAW):
        rows = frame[frame["id"] == key]
        found |= dict(zip(rows["row"].tolist(), rows["raw"].tolist(), strict=True))
    return found
