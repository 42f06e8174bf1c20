"""The text as the source gave it, by the id of the cleaned one:  python -m ratchet.data.raw_text data/raw.parquet ID"""

from __future__ import annotations

import sys
from pathlib import Path

from ratchet.entry import entry
from ratchet.errors import TableError
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


def main() -> None:
    if len(sys.argv) != 3:
        raise TableError("Two arguments are needed.", got=" ".join(sys.argv[1:]), expected="data/raw.parquet ID")
    path, key = Path(sys.argv[1]), sys.argv[2]
    found = raw_texts(path, key)
    if not found:
        raise TableError(
            "No text with this id was changed by cleaning.", where=path, got=key, expected="an id of 16 digits",
            fix="look it up in the corpus: what cleaning left alone is there as it came",
        )  # fmt: skip
    for row, text in found.items():
        print(f"row {row}:\n{text}\n")


if __name__ == "__main__":
    entry(main)
