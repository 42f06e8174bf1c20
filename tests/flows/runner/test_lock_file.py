"""dvc.lock by its entries: what is written is what DVC writes, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.runner.lock_file import HEAD, entry_text, in_order, read_entries, write_entries

LOCK = Path(__file__).parents[3] / "dvc.lock"


def test_the_entries_of_this_repository_are_written_as_dvc_writes_them(tmp_path: Path) -> None:
    from dvc.utils.serialize import dumps_yaml, load_yaml

    recorded = load_yaml(LOCK)
    entries = read_entries(LOCK)
    assert entries is not None
    assert list(entries) == list(recorded["stages"])
    for name, entry in recorded["stages"].items():
        assert entry_text(name, entry) == entries[name], name
    changed = {**entries, "validate": entries["validate"].replace("md5", "md6")}
    write_entries(tmp_path / "dvc.lock", changed)
    recorded = load_yaml(tmp_path / "dvc.lock")
    assert (tmp_path / "dvc.lock").read_text() == dumps_yaml(recorded)
    assert recorded["stages"]["validate"]["deps"][0]["hash"] == "md6"


def test_without_a_file_the_first_entry_begins_one(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert read_entries(path) == {}
    entries = {"1": entry_text("1", {"cmd": "true"}), "on": entry_text("on", {"cmd": "true"})}
    write_entries(path, entries)
    assert read_entries(path) == entries
    assert list(in_order(entries, ["on", "1"])) == ["on", "1"]


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "  a:\n    cmd: x\n<<<<<<< ours\n    md5: 1\n",
        HEAD + "  # mine\n  a:\n    cmd: x\n",
        HEAD + "  a:\n    cmd: x\ndatasets: []\n",
        "stages:\n  a:\n    cmd: x\n",
        HEAD + "    a:\n        cmd: x\n",
    ],
)
def test_a_text_that_is_not_as_dvc_writes_it_is_left_to_dvc(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text(text)
    assert read_entries(path) is None
