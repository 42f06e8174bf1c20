"""Tombstones: hashes of texts that were forgotten, by which `ingest` and `labels pull` keep them out.

A file for Git, `{"texts": [...]}`. It holds hashes alone, of each text as it came, as it was cleaned and as it was
masked, so that another set of repairs does not bring it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pydantic

from ratchet.data.cleaning import Cleaned, text_id
from ratchet.errors import TableError
from ratchet.files import read_json, write_json

TOMBSTONES = "data/forgotten.json"


class _Tombstones(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")

    texts: list[pydantic.constr(pattern=r"^[0-9a-f]{16}$")]  # type: ignore[valid-type]


def read_tombstones(path: Path) -> frozenset[str]:
    """The ids (`text_id`) of forgotten texts; none where there is no such file.

    Raises:
        TableError: the file is damaged: read as empty, it would let forgotten texts back in.
    """
    if not path.exists():
        return frozenset()
    try:
        return frozenset(_Tombstones.model_validate(read_json(path)).texts)
    except (OSError, ValueError) as error:
        raise TableError(
            "The list of forgotten texts is damaged.",
            where=path,
            got=str(error).splitlines()[0],
            expected='{"texts": [ids of 16 hexadecimal digits]}',
            fix="restore the file with git",
        ) from None


def add_tombstones(path: Path, ids: Iterable[str]) -> int:
    """Add ids to the file, in one step; returns how many were not there."""
    known = read_tombstones(path)
    every = known | {*ids}
    if every != known:
        write_json(path, {"texts": sorted(every)})
    return len(every) - len(known)


def forgotten(given: Sequence[str], cleaned: Cleaned, ids: frozenset[str]) -> list[bool]:
    """Which texts were forgotten: as they came, repaired, or masked, (n_texts,)."""
    if not ids:
        return [False] * len(given)
    forms = zip(given, cleaned.unmasked, cleaned.texts, strict=True)
    return [any(text_id(text) in ids for text in texts) for texts in forms]


def record_id(record: bytes) -> str:
    """The id of a record that could not be read, by its bytes."""
    return text_id(record.decode("utf-8", "backslashreplace"))
