"""The demo's task files and values, which a task of one's own replaces, are the root's while this is the demo."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from ratchet.params import read_yaml

ROOT = Path(__file__).parents[2]
FILMS = ROOT / "examples/films"
FOLDERS = ("behaviour", "challenge", "concepts", "lexicons", "suites")
VALUES = read_yaml(FILMS / "values.yaml")
"""File of the root → dotted key → the demo's value."""
SOURCE = ("params.yaml", "ingest.source.path")
"""What tells the task of the repository."""


def value_of(file: str, key: str) -> Any:
    """What a file of the root holds under a dotted key; None where there is no such key."""
    return reduce(lambda part, name: (part or {}).get(name), key.split("."), read_yaml(ROOT / file))  # type: ignore[arg-type, return-value]


@pytest.fixture(autouse=True)
def root_is_the_demo() -> None:
    file, key = SOURCE
    if value_of(file, key) != VALUES[file][key]:
        pytest.skip("the repository's task is no longer the films: its files are its own")


def files_of(data: Path) -> dict[str, bytes]:
    """Path below the folder → content, of all files of the task."""
    found = [path for name in FOLDERS for path in sorted((data / name).rglob("*")) if path.is_file()]
    return {path.relative_to(data).as_posix(): path.read_bytes() for path in found}


def test_the_files_are_the_roots() -> None:
    films, root = files_of(FILMS / "data"), files_of(ROOT / "data")
    assert sorted(films) == sorted(root)
    assert [name for name in films if films[name] != root[name]] == []
    assert {path.name for path in (FILMS / "data").iterdir()} == set(FOLDERS)


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in VALUES.items() for key in keys])
def test_the_values_are_the_roots(file: str, key: str) -> None:
    assert value_of(file, key) == VALUES[file][key]
