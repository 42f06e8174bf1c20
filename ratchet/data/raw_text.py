"""The text as the source gave it, by the id of the cleaned one; of masked texts nothing unmasked is kept."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ratchet.data.cleaning import Cleaned, text_id
from ratchet.data.cleaning_params import Cleaning
from ratchet.data.personal_data import find_personal_data
from ratchet.table_files import read_batches
from ratchet.tables import RAW

if TYPE_CHECKING:
    import pandas as pd


def kept_raw(corpus: pd.DataFrame, given: Sequence[str], cleaned: Cleaned, cleaning: Cleaning) -> pd.DataFrame:
    """The rows of the table `raw`: of each text that cleaning changed, how it came.

    With masking, the cleaned text stands in its place wherever personal data is found in what came, as it is or with
    its entities decoded; and the id that the text would have unmasked is kept beside its own.

    Args:
        corpus: rows with `row` and `id`.
        given: their texts before cleaning.
        cleaned: and after it.
        cleaning: what was done.
    """
    import pandas as pd

    changed = [at for at, text in enumerate(cleaned.texts) if text != given[at]]
    raw, masked = [given[at] for at in changed], [False] * len(changed)
    if cleaning.mask:
        masked = [cleaned.texts[at] != cleaned.unmasked[at] for at in changed]
        hidden = [found or _personal(text, cleaning.regions) for found, text in zip(masked, raw, strict=True)]
        raw = [cleaned.texts[at] if found else given[at] for at, found in zip(changed, hidden, strict=True)]
    rows = corpus.iloc[changed]
    frame = pd.DataFrame({"row": rows["row"], "id": rows["id"], "raw": pd.Series(raw, rows.index, dtype="str")})
    if cleaning.mask:
        ids = [text_id(cleaned.unmasked[at]) if found else None for at, found in zip(changed, masked, strict=True)]
        frame["unmasked_id"] = pd.Series(ids, rows.index, dtype="str")
    return frame.reset_index(drop=True)


def raw_texts(path: Path, key: str) -> dict[int, str]:
    """Row in the source → its raw text, for every row with this id, or with this id before masking, whose text cleaning
    changed; empty: none.

    Raises:
        TableError: the table is missing or cannot be read.
    """
    found: dict[int, str] = {}
    for frame in read_batches(path, RAW):
        ids = frame[["id", *frame.columns.intersection(["unmasked_id"])]]
        rows = frame[(ids == key).any(axis=1)]
        found |= dict(zip(rows["row"].tolist(), rows["raw"].tolist(), strict=True))
    return found


def _personal(text: str, regions: Sequence[str]) -> bool:
    return bool(find_personal_data(text, regions) or find_personal_data(html.unescape(text), regions))
