"""DVC's objects that hold a text: in the cache, in the run cache, and in remotes that are folders.

An object is named by its hash, so it cannot be rewritten: it is deleted, with the lists of folders that name it and the
entries of the run cache and of dvc.lock that would bring it back. What the data's own `.dvc` files name is the source,
which is reported.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.forgetting.kinds import count
from flows.forgetting.matching import Forgotten
from flows.labelling.steps import JUDGING_STORE, STORE
from ratchet.params import read_yaml

RUNS = "runs"
_HASH = re.compile(rb"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\b")


@dataclass(frozen=True)
class Found:
    """Objects below one folder of DVC's."""

    folder: Path
    objects: dict[str, Path]
    """Hash → file, of those that hold a text or list one that does."""
    runs: list[Path]
    """Entries of the run cache that name one of them."""
    source: dict[str, Path]
    """Those that a `.dvc` file of the data names; they stay."""


def find_objects(root: Path, folder: Path, what: Forgotten) -> Found:
    """The objects of a cache or remote that hold a text, and what names them."""
    every = dict(_objects(folder))
    holding = {name for name, path in every.items() if not name.endswith(".dir") and _holds(path, what)}
    named_by_data = _source_objects(root, every)
    source = {name: every[name] for name in holding & named_by_data}
    gone = holding - named_by_data
    lists = {
        name
        for name, path in every.items()
        if name.endswith(".dir") and name not in named_by_data and gone & {*_listed(path)}
    }
    objects = {name: every[name] for name in sorted(gone | lists)}
    runs = [path for path in _files(folder / RUNS) if {*_named(path)} & objects.keys()]
    return Found(folder, objects, runs, source)


def delete(found: Found) -> None:
    """Delete them: first what names an object, so that nothing ever names one that is gone."""
    lists = [path for name, path in found.objects.items() if name.endswith(".dir")]
    rest = [path for name, path in found.objects.items() if not name.endswith(".dir")]
    for path in [*found.runs, *lists, *rest]:
        path.chmod(0o644)  # DVC protects its objects
        path.unlink(missing_ok=True)
        for parent in (path.parent, path.parent.parent):
            if parent != found.folder and parent.is_relative_to(found.folder) and not any(parent.iterdir()):
                parent.rmdir()


def without_entries(lock: Path, hashes: set[str]) -> list[str]:
    """Take the stages out of dvc.lock whose outputs are gone from the cache; returns their names."""
    from flows.runner.lock_file import read_entries, write_entries

    if not lock.is_file():
        return []
    entries = read_entries(lock)
    if entries is None:
        return []
    gone = [name for name, text in entries.items() if _outs(text) & hashes]
    if len(gone) == len(entries):
        lock.unlink()  # DVC refuses a lock without a stage
    elif gone:
        write_entries(lock, {name: text for name, text in entries.items() if name not in gone})
    return gone


def _outs(entry: str) -> set[str]:
    """Hashes of a stage's outputs in its entry of dvc.lock."""
    _, _, outs = entry.partition("\n    outs:")
    return {name.decode() for name in _HASH.findall(outs.encode())}


def _objects(folder: Path) -> Iterator[tuple[str, Path]]:
    """Hash and file of each object of DVC 3 and of DVC 2's layout, which `files` and `runs` are beside."""
    for path in _files(folder):
        name = path.parent.name + path.name
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name) and path.relative_to(folder).parts[0] != RUNS:
            yield name, path


def _files(folder: Path) -> Iterator[Path]:
    for base, _, names in os.walk(folder):
        yield from (Path(base) / name for name in sorted(names))


def _holds(path: Path, what: Forgotten) -> bool:
    try:
        return count(path, what) > 0
    except FileNotFoundError:
        return False


def _listed(path: Path) -> list[str]:
    """Hashes in a folder's list."""
    try:
        return [str(item["md5"]) for item in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError, OSError):
        return []


def _named(path: Path) -> list[str]:
    """Hashes that an entry of the run cache gives back."""
    _, _, outs = path.read_bytes().partition(b"\nouts:")
    return [name.decode() for name in _HASH.findall(outs)]


def _source_objects(root: Path, every: dict[str, Path]) -> set[str]:
    """Hashes that the `.dvc` files of the data name, with those of their folders; not those of the label stores."""
    found: set[str] = set()
    for path in root.glob("data/**/*.dvc"):
        if path in (root / f"{STORE}.dvc", root / f"{JUDGING_STORE}.dvc"):
            continue
        for out in read_yaml(path).get("outs") or []:
            name = str(out.get("md5", ""))
            found |= {name, *(_listed(every[name]) if name in every else [])}
    return found
