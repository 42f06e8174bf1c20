"""Data at rest: after any fault of the disk a store is as it was or as it shall be, and the work can be done again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ratchet.files import replace_file, replace_folder
from tests.support.faults import FAULTS, Writer, inject
from tests.support.stores import WRITERS

N_POINTS = 3
"""Of each fault and store; `python -m tests.support.stores` takes all of them."""
EACH = 5
"""Every fifth store is of the usual run; `make test-deep` takes them all."""


@pytest.mark.parametrize(
    "writer",
    [
        pytest.param(writer, id=writer.name, marks=[pytest.mark.deep] if place % EACH else [])
        for place, writer in enumerate(WRITERS)
    ],
)
def test_a_store_is_whole_after_every_fault(writer: Writer, tmp_path: Path) -> None:
    tallies = inject(writer, tmp_path, N_POINTS)
    assert [line for fault in FAULTS for line in tallies[fault].damaged] == []
    assert sum(tally.new for tally in tallies.values()) > 0
    assert tallies["death"].injected == N_POINTS


def _in_place(root: Path) -> None:
    (root / "a.txt").write_text("new " * 50)


def _unsynced(root: Path) -> None:
    (root / "b.txt").write_text("new " * 50)
    (root / "b.txt").replace(root / "a.txt")


@pytest.mark.parametrize(("write", "faults"), [(_in_place, {*FAULTS}), (_unsynced, {"loss of power"})])
def test_the_layer_finds_a_writer_that_does_not_care(tmp_path: Path, write: object, faults: set[str]) -> None:
    """Written in place, a store is torn; renamed without a sync, it is empty after a loss of power."""
    careless = Writer(
        "careless",
        lambda root: (root / "a.txt").write_text("old"),
        write,  # type: ignore[arg-type]
        lambda root: (root / "a.txt").read_text(),
    )
    tallies = inject(careless, tmp_path)
    assert {fault for fault in FAULTS if tallies[fault].damaged} == faults


def test_a_folder_is_there_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two change places in one step: the old one is never moved aside first."""
    path = tmp_path / "a"
    for content in ("old", "new"):
        with replace_folder(path) as partial:
            (partial / "x").write_text(content)
            monkeypatch.setattr(Path, "replace", None)  # renamed only where nothing was there
            if content == "old":
                monkeypatch.undo()
    assert (path / "x").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_file_is_synced_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replaced = Path.replace

    def replace(path: Path, to: Path) -> Path:
        steps.append("rename")
        return replaced(path, to)

    monkeypatch.setattr(os, "fsync", lambda _: steps.append("sync"))
    monkeypatch.setattr(Path, "replace", replace)
    with replace_file(tmp_path / "a") as partial:
        partial.write_text("x")
    assert steps == ["sync", "rename", "sync"]
