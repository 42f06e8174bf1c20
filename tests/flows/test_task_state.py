"""The one table of what belongs to a task: complete, so that `ratchet init` leaves nothing of the task before."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.checks.project import RECORD, Project
from flows.checks.wiring import written_paths
from flows.init.flow import MERGED, SAVED, TASK_FOLDERS
from flows.init.sources import FOLDER
from flows.init.task_state import STATE
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[2]
CODE = ("flows", "pipeline_steps", "ratchet/commands")
STATEFUL = re.compile(r"^(?:dvc\.lock|(?:data|models|reports|measurements|\.scratch|\.ratchet)/[\w./-]+)$")
"""A path of the repository that a run of something writes, or that it reads of another run."""
OF_NO_TASK = {
    ".ratchet/audit.jsonl": "the audit log of the repository, which is only ever added to",
    ".ratchet/keys.json": "keys of the server's clients",
    ".scratch/bench": "the benchmarks' own workspaces",
    ".scratch/demo": "the story's own repository, made anew each time",
    ".scratch/home": "a home for users who have none",
    ".scratch/init": "where init prepares what it writes; gone when it ends",
    ".ratchet/forgetting.json": "a removal that was begun, gone when it ends",
    "data/forgotten.json": "hashes of texts that people took back: no task brings them back",
    "data/labels": "people's labels: they stay, and only the pointer to them goes, with --force",
    "reports/bench": "measurements of the benchmarks, which say on what they were taken",
}
"""What is kept whatever the task, and why."""


def paths_in(source: str) -> Iterator[str]:
    """The paths of the repository that a module spells out, docstrings aside."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            path = node.value.rstrip("/")
            if STATEFUL.match(path):
                yield path


def covered(path: str, by: list[str]) -> bool:
    return any(path == item or path.startswith(f"{item}/") or item.startswith(f"{path}/") for item in by)


@pytest.fixture(scope="module")
def known() -> list[str]:
    """What the tables name."""
    outs = written_paths(Project(ROOT, {}, read_yaml(ROOT / "dvc.yaml")["stages"]))
    return [*(item.path for item in STATE), *outs, *OF_NO_TASK, *TASK_FOLDERS, *MERGED, RECORD, SAVED, FOLDER]


def test_every_path_that_a_flow_or_a_step_writes_is_listed(known: list[str]) -> None:
    """A new one is a line in flows/init/task_state.py, or in `OF_NO_TASK` above with its reason."""
    found = {
        f"{module.relative_to(ROOT)}: {path}"
        for name in CODE
        for module in sorted((ROOT / name).rglob("*.py"))
        for path in paths_in(module.read_text(encoding="utf-8"))
        if not covered(path, known)
    }
    assert sorted(found) == []


def test_a_path_that_is_missing_from_the_table_is_found(known: list[str]) -> None:
    (path,) = paths_in('"""Writes data/doc.json."""\nPATH = Path("data/ghost.json")')
    assert not covered(path, known)


def test_each_state_stands_once_and_no_exception_is_a_state() -> None:
    paths = [item.path for item in STATE]
    assert len({*paths}) == len(paths)
    assert not {*paths} & {*OF_NO_TASK}
