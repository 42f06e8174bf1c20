"""Files written whole or not at all, hashes, and JSON that stays readable in a diff."""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A path to write to; the real file is replaced only when the block ends without an error.

    What was written is on the disk before the name changes, and the name before this returns: after a loss of power
    the file is the old one or the new one.
    """
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; the real folder is replaced only when the block ends without an error.

    On Linux the two change places in one step; elsewhere there is a moment without either.
    """
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    replaced = path.with_name(f".{path.name}.replaced")
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        for inside in (*partial.rglob("*"), partial):
            sync(inside)
        if not (path.exists() and _exchange(partial, path)):
            if path.exists():
                path.replace(replaced)
            partial.replace(path)
        sync(path.parent)
    finally:
        for leftover in (partial, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the disk hold what a file, or a folder's list of names, is.

    Raises:
        OSError: it cannot; of a file what was written may be lost.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError:
        if not path.is_dir():  # a file system may have no way to sync a folder
            raise
    finally:
        os.close(file)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys and one item a line; an undefined number (NaN) becomes null.

    >>> import tempfile; p = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(p, {"b": float("nan"), "a": 1}); p.read_text().split()
    ['{', '"a":', '1,', '"b":', 'null', '}']
    """
    text = json.dumps(plain_value(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The value a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hexadecimal SHA-256 of a value's canonical JSON: the same value, the same hash."""
    return hashlib.sha256(json.dumps(plain_value(value), sort_keys=True).encode()).hexdigest()


def plain_value(value: Any) -> Any:
    """Numpy scalars and arrays, tuples, paths and non-finite floats in JSON's own types."""
    if isinstance(value, dict):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):
        return plain_value(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
