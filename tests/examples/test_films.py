"""The demo's task files, which a task of one's own replaces, are the root's while this is the demo."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.init.flow import TASK_FOLDERS, example_files
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[2]
FILES = example_files(ROOT, "films")


@pytest.fixture(autouse=True)
def root_is_the_demo() -> None:
    source = read_yaml(ROOT / "params.yaml")["ingest"]["source"]
    if source["kind"] != "packaged" or source != read_yaml(ROOT / "examples/films/params.yaml")["ingest"]["source"]:
        pytest.skip("the repository's task is no longer the films: its files are its own")


@pytest.mark.parametrize("path", FILES)
def test_each_file_is_the_roots(path: str) -> None:
    """After an edit of one of them: cp it over the other."""
    assert (ROOT / path).read_bytes() == FILES[path]


def test_the_example_has_every_file_of_the_task() -> None:
    there = [path for folder in TASK_FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    root = {path.relative_to(ROOT).as_posix() for path in there}
    assert {*FILES} == {*root, "params.yaml", "live.yaml", "policy.yaml"}
