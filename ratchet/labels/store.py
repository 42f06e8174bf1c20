"""The label store: batches that are added and never changed, and a small pointer that names and pins each of them.

The pointer is a JSON file for git, `{"batches": [{"table", "file", "sha256", "n_rows"}, ...]}`, with the fingerprint of
the pseudonym key once there is an answer. The batches are Parquet files in a folder that DVC tracks, named by their
content. Adding writes the batches first and the pointer last, so that a crash in between leaves the store as it was,
and the same rows again give the same file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import pydantic

from ratchet.errors import TableError
from ratchet.files import read_json, sha256_file, write_json
from ratchet.labels.class_changes import ClassChange, present_annotations, present_decisions
from ratchet.labels.remarks import ANNOTATIONS
from ratchet.table_files import read_table, write_table
from ratchet.tables import HUMAN_LABELS, Table, empty_table

if TYPE_CHECKING:
    import pandas as pd

PRESENT = {ANNOTATIONS.name: present_annotations, HUMAN_LABELS.name: present_decisions}
"""What each table says with the classes of today."""
TABLES = {table.name: table for table in (ANNOTATIONS, HUMAN_LABELS)}


class Batch(pydantic.BaseModel):
    """One file of the store."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")

    table: Literal["annotations", "human_labels"]
    file: str = pydantic.Field(pattern=r"^[a-z_]+-[0-9a-f]{16}\.parquet$")
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    n_rows: int = pydantic.Field(ge=1)


class _Pointer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")

    batches: list[Batch]
    class_changes: list[ClassChange] = []
    key_fingerprint: str | None = pydantic.Field(default=None, pattern=r"^[0-9a-f]{16}$")

    @pydantic.field_validator("batches")
    @classmethod
    def _each_once(cls, batches: list[Batch]) -> list[Batch]:
        if len({batch.file for batch in batches}) < len(batches):
            raise ValueError("a batch is named twice")
        return batches


class Store(NamedTuple):
    """Everything the store holds, in the order in which it was added, with the classes of today."""

    annotations: pd.DataFrame
    decisions: pd.DataFrame


def read_pointer(pointer: Path) -> list[Batch]:
    """The batches that the pointer names, oldest first; none when nobody has labelled anything.

    Raises:
        TableError: the pointer is missing or damaged, or names a batch twice.
    """
    return _read_pointer(pointer).batches


def read_changes(pointer: Path) -> list[ClassChange]:
    """The changes of the classes, oldest first."""
    return _read_pointer(pointer).class_changes


def add_change(pointer: Path, change: ClassChange) -> None:
    """Add a change of the classes, in one step."""
    known = _read_pointer(pointer)
    _write_pointer(pointer, known.model_copy(update={"class_changes": [*known.class_changes, change]}))


def _write_pointer(pointer: Path, value: _Pointer) -> None:
    """What is empty is left out."""
    plain = {name: found for name, found in value.model_dump().items() if found or name == "batches"}
    write_json(pointer, plain)


def check_key(pointer: Path, fingerprint: str) -> None:
    """Refuse another pseudonym key than the one under which the store's people are named.

    Args:
        pointer: of the store.
        fingerprint: of the key that is set, see `key_fingerprint`.

    Raises:
        TableError: it is another; with it everybody would be a new person, with a second vote.
    """
    known = _read_pointer(pointer).key_fingerprint
    if known not in (None, fingerprint):
        raise TableError(
            "The pseudonym key is another one than the label store's: everybody would have a second vote.",
            where="RATCHET_PSEUDONYM_KEY",
            got=f"a key with the fingerprint {fingerprint}",
            expected=f"the key with the fingerprint {known} (key_fingerprint in {pointer.name})",
            fix="export the key with which the first answers were pulled; unset it if there was none",
        )


def _read_pointer(pointer: Path) -> _Pointer:
    try:
        return _Pointer.model_validate(read_json(pointer))
    except FileNotFoundError:
        raise TableError("The label store's pointer is missing.", where=pointer, fix="git checkout the file") from None
    except ValueError as error:
        raise TableError(
            "The label store's pointer is damaged.",
            where=pointer,
            got=error,
            expected='{"batches": [...]}',
            fix="restore the file with git",
        ) from None


def read_store(pointer: Path, folder: Path) -> Store:
    """All annotations and decisions, each batch verified against the pointer.

    Raises:
        TableError: the pointer is damaged; a batch is missing, altered, or breaks its table's declaration.
    """
    import pandas as pd

    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    known = _read_pointer(pointer)
    for place, batch in enumerate(known.batches):
        later = [change for change in known.class_changes if change.n_batches > place]
        frames[batch.table].append(PRESENT[batch.table](_read(folder / batch.file, batch), later))
    tables = {}
    for name, found in frames.items():
        kept = [part for part in found if len(part)]
        tables[name] = pd.concat(kept, ignore_index=True) if kept else empty_table(TABLES[name])
    annotations = tables["annotations"]
    if annotations["annotation_id"].duplicated().any():
        raise TableError("The label store holds an answer twice.", where=pointer, fix="restore the pointer with git")
    return Store(annotations, tables["human_labels"])


def write_batch(folder: Path, frame: pd.DataFrame, table: Table) -> Batch | None:
    """Write rows as a batch that no pointer names yet; None when there are none. The same rows give the same file."""
    if frame.empty:
        return None
    fresh = folder / f".{table.name}.parquet"
    try:
        write_table(fresh, frame, table)
        digest = sha256_file(fresh)
        path = folder / f"{table.name}-{digest[:16]}.parquet"
        if not path.is_file() or sha256_file(path) != digest:
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    entry = {"table": table.name, "file": path.name, "sha256": digest, "n_rows": len(frame)}
    return Batch.model_validate(entry)


def append(pointer: Path, batches: list[Batch], fingerprint: str | None = None) -> None:
    """Name the batches in the pointer, in one step: from here on they are in the store. Those named already stay.

    Args:
        pointer: of the store.
        batches: to name.
        fingerprint: of the pseudonym key, kept from the first answer on; None: keep the one there is.
    """
    known = _read_pointer(pointer)
    entries = [*known.batches, *(batch for batch in batches if batch not in known.batches)]
    kept = known.key_fingerprint or fingerprint
    if entries != known.batches or (entries and kept != known.key_fingerprint):
        _write_pointer(pointer, known.model_copy(update={"batches": entries, "key_fingerprint": kept}))


def _read(path: Path, batch: Batch) -> pd.DataFrame:
    fix = f"fetch it: `dvc checkout {path.parent}.dvc`, or `dvc pull {path.parent}.dvc` from where it was pushed"
    if not path.is_file():
        raise TableError("A batch of the label store is missing.", where=path, expected=batch.sha256, fix=fix)
    if (got := sha256_file(path)) != batch.sha256:
        raise TableError(
            "A batch of the label store was altered: its SHA-256 differs.",
            where=path,
            got=got,
            expected=batch.sha256,
            fix=fix,
        )
    frame = read_table(path, TABLES[batch.table])
    if len(frame) != batch.n_rows:
        raise TableError("A batch holds another number of rows.", where=path, got=len(frame), expected=batch.n_rows)
    return frame
