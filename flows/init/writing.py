"""Several files of the repository replaced and removed at once: all of it, or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from ratchet.errors import PipelineError
from ratchet.files import write_json
from ratchet.progress import Progress

FOLDER = Path(".scratch/init")
NEW, OLD, JOURNAL = FOLDER / "new", FOLDER / "old", FOLDER / "journal.json"
"""What will be put in place, what was there, and which is which: as long as the journal stands, nothing is settled."""
CHUNK = 8 * 2**20


def replace_all(
    root: Path, written: Mapping[str, bytes], copied: Mapping[str, Path], removed: Iterable[str] = ()
) -> None:
    """Put files into the repository and take others away; after an error everything is as it was.

    Everything new is first written in full beside what is there, and flushed to the disk; then it is renamed into
    place. A process that is killed between the renames is undone by the next call of `undo_unfinished`.

    Args:
        root: the repository.
        written: path → content.
        copied: path → the file whose content it gets.
        removed: files and folders that go; those that are not there are passed over.

    Raises:
        PipelineError: the disk is full, or a file cannot be written.
    """
    undo_unfinished(root)
    added = [*written, *copied]
    gone = [path for path in dict.fromkeys([*added, *removed]) if os.path.lexists(root / path)]
    try:
        for path, content in written.items():
            with _open(root / NEW / path) as file:
                file.write(content)
                _flush(file)
        _copy(root, copied)
        write_json(root / JOURNAL, {"added": added, "gone": gone})
        for path in gone:
            _move(root / path, root / OLD / path)
        for path in added:
            _move(root / NEW / path, root / path)
    except BaseException as error:
        undo_unfinished(root)
        if isinstance(error, OSError):
            raise PipelineError(
                "The task could not be written; everything is as it was.",
                where=error.filename or root,
                got=error.strerror or error,
                fix="make room on the disk, or correct the file's permissions, and run it again",
            ) from None
        raise
    (root / JOURNAL).unlink()
    shutil.rmtree(root / FOLDER, ignore_errors=True)


def undo_unfinished(root: Path) -> None:
    """Put back what a call that was killed had moved; nothing if there was none."""
    from ratchet.files import read_json

    journal = root / JOURNAL
    if journal.is_file():
        moves = read_json(journal)
        for path in moves["added"]:
            if not (root / NEW / path).exists() and (root / path).exists():
                (root / path).unlink()
        for path in moves["gone"]:
            if os.path.lexists(root / OLD / path):
                _move(root / OLD / path, root / path)
        journal.unlink()
    shutil.rmtree(root / FOLDER, ignore_errors=True)


def _copy(root: Path, copied: Mapping[str, Path]) -> None:
    progress = Progress("MB copied", sum(path.stat().st_size for path in copied.values()) // 10**6)
    for path, source in copied.items():
        with source.open("rb") as old, _open(root / NEW / path) as new:
            while block := old.read(CHUNK):
                new.write(block)
                progress.add(len(block) // 10**6)
            _flush(new)


def _open(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _move(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)
