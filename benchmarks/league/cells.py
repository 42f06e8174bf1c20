"""Cells: one JSON file for one contestant on one draw of one set, so that runs on several machines add up in Git.

ROOT/DATA/set.json                              the classes, the metric, the true classes of the test texts
ROOT/DATA/N_LABELS/DRAW/CONTESTANT.json         a cell
ROOT/environments/REQUIREMENTS.json             why a contestant cannot be installed
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.files import read_json

Classes = NDArray[np.int64]
"""A class a test text, (n_test,)."""
SET = "set.json"
NO_SETS = ("environments",)


@dataclass(frozen=True, order=True)
class Key:
    """Which cell."""

    data: str
    n_labels: str
    """A number, or `all`."""
    draw: int
    contestant: str

    def path(self, root: Path) -> Path:
        """Its file."""
        return root / self.data / self.n_labels / str(self.draw) / f"{self.contestant}.json"


@dataclass(frozen=True)
class Cell:
    """A finished cell."""

    key: Key
    report: dict[str, Any]

    @property
    def failed(self) -> str:
        """Why there are no figures; empty: there are."""
        return str(self.report.get("failed", ""))

    @property
    def predicted(self) -> Classes:
        """The predicted class of each test text."""
        return unpacked(self.report["predicted"])


def read_cell(root: Path, key: Key) -> Cell | None:
    """The cell, if it was run."""
    path = key.path(root)
    return Cell(key, read_json(path)) if path.is_file() else None


def read_cells(root: Path) -> list[Cell]:
    """Every cell of the folder, sorted by its key."""
    return sorted(_cells(root), key=lambda cell: cell.key)


def _cells(root: Path) -> Iterator[Cell]:
    for path in root.glob("*/*/*/*.json"):
        data, n_labels, number = path.parent.relative_to(root).parts
        yield Cell(Key(data, n_labels, int(number), path.stem), read_json(path))


def read_sets(root: Path) -> dict[str, dict[str, Any]]:
    """Data set → its `set.json`."""
    return {path.parent.name: read_json(path) for path in sorted(root.glob(f"*/{SET}"))}


def packed(classes: Classes) -> str:
    """Classes as text of some kilobytes: 16-bit numbers, zlib, base64.

    >>> unpacked(packed(np.array([3, 0, 300]))).tolist()
    [3, 0, 300]
    """
    return base64.b64encode(zlib.compress(np.asarray(classes).astype("<u2").tobytes(), 9)).decode("ascii")


def unpacked(text: str) -> Classes:
    """The classes that `packed` wrote."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u2").astype(np.int64)
