"""The cache of unpacked backbones: an ordinary folder for each packed file, made when it is missing or damaged."""

from __future__ import annotations

import fcntl
import os
import sys
from functools import lru_cache
from pathlib import Path

from ratchet.files import read_json, replace_folder, sha256_file, write_json
from ratchet.models.packed_weights import read_packed, unpack

VARIABLE, DEFAULT = "RATCHET_BACKBONES", Path(".scratch/backbones")
"""Environment variable with the cache's folder, such as one that several workspaces share, and what it is without."""
LAYOUT = 1
"""Raised when the same packed file is to be unpacked into other bytes."""
SUMS = "sums.json"


def unpacked(packed: Path, sha256: str) -> Path:
    """The folder with what the packed file holds; processes that ask at once get one folder, written once.

    Args:
        packed: the file.
        sha256: of its bytes, compared with what was pinned.

    Raises:
        SourceError: the file is truncated or damaged.
    """
    cache = Path(os.environ.get(VARIABLE) or DEFAULT)
    folder = cache / f"{packed.stem}-{sha256[:16]}-{LAYOUT}"
    if _is_whole(folder):
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(folder):  # another process may have made it meanwhile
            content = read_packed(packed)
            print(f"unpacking {packed.name} into {folder}, once", file=sys.stderr, flush=True)
            with replace_folder(folder) as partial:
                unpack(content, partial)
                files = sorted(path for path in partial.rglob("*") if path.is_file())
                write_json(partial / SUMS, {path.relative_to(partial).as_posix(): sha256_file(path) for path in files})
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether every file is there with the bytes that were written."""
    try:
        sums = read_json(folder / SUMS)
        return bool(sums) and all(_current_sha256(folder / name) == sums[name] for name in sums)
    except (OSError, ValueError, TypeError):
        return False


def _current_sha256(path: Path) -> str:
    found = path.stat()
    return _sha256(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)  # hundreds of megabytes, which a stage asks for several times
def _sha256(path: Path, _size: int, _time: int) -> str:
    return sha256_file(path)
