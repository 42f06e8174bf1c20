"""A small repository for the flows of labelling and monitoring: made once a module, copied for each test."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from flows.labelling import flow as label
from flows.labelling import steps as labelling
from flows.runner import workspace


def made_once(factory: pytest.TempPathFactory, make: Callable[[Path], Path]) -> Iterator[Path]:
    """Yield what `make` made in a new folder, which is the working directory meanwhile."""
    root = factory.mktemp("world")
    before = Path.cwd()
    os.chdir(root)
    yield make(root)
    os.chdir(before)


def isolated_copy(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, as the working directory: the steps run without Prefect, DVC, a lock or a server."""
    root = shutil.copytree(made, tmp_path / "world")
    monkeypatch.chdir(root)
    monkeypatch.setattr(workspace, "lock_workspace", lambda root: None)
    monkeypatch.setattr(label, "_step", lambda work: work)
    monkeypatch.setattr(labelling, "track", lambda *_: None)
    monkeypatch.setenv(labelling.KEY, "a key for tests")
    monkeypatch.delenv(labelling.URL, raising=False)
    monkeypatch.delenv("RATCHET_AUDIT_LOG", raising=False)
    return root


def answer(root: Path, annotator: str, labels: Mapping[str, str], folder: Path = labelling.QUEUE) -> None:
    """Write an annotator's sheet of the queue: text id → label."""
    with (root / folder / f"{annotator}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "label", "lead_time_s", "annotated_at"])
        writer.writeheader()
        writer.writerows(
            {"id": name, "label": labels[name], "lead_time_s": 8, "annotated_at": "2026-01-01T12:00:00Z"}
            for name in sorted(labels)
        )
