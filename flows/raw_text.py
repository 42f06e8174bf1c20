"""The text as the source gave it, by the id of the cleaned one; who looked is logged:  python -m flows.raw_text ID"""

from __future__ import annotations

import sys
from pathlib import Path

from flows.runner.audit import record
from ratchet.data.raw_text import raw_texts
from ratchet.entry import entry
from ratchet.errors import TableError

RAW = Path("data/raw.parquet")


def main() -> None:
    if len(sys.argv) != 2:
        raise TableError("One argument is needed.", got=" ".join(sys.argv[1:]), expected="the id of a text")
    root, key = Path.cwd(), sys.argv[1]
    found = raw_texts(root / RAW, key)
    if not found:
        raise TableError(
            "No text with this id was changed by cleaning.",
            where=RAW,
            got=key,
            expected="an id of 16 digits",
            fix="look it up in the corpus: what cleaning left alone is there as it came",
        )
    # before it is printed: a raw text may hold what masking took out of the corpus
    record(root, "personal_data", key, {"table": RAW.as_posix(), "n_rows": len(found)})
    for row, text in found.items():
        print(f"row {row}:\n{text}\n")


if __name__ == "__main__":
    entry(main)
