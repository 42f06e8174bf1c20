"""What all checks look at, read once: params.yaml, dvc.yaml, live.yaml, and the blocks that hold by themselves."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from ratchet.params import Params, read_yaml
from ratchet.task import Task

PARAMS, PIPELINE, LIVE, POLICY = "params.yaml", "dvc.yaml", "live.yaml", "policy.yaml"
RECORD = "data/init.json"
"""What init wrote, by hash, so that what somebody edited is told from what nobody touched; and the corpus' size."""


@dataclass
class Project:
    """A repository as its files describe it."""

    root: Path
    params: dict[str, Any]
    """params.yaml."""
    stages: dict[str, Any]
    """`stages` of dvc.yaml."""
    task: Task | None = None
    """The block `task`; None: there is none, or it does not hold."""
    blocks: dict[str, Params] = field(default_factory=dict)
    """Stage → its params, of those that hold by themselves."""
    _files: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lines: dict[str, Node | None] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """The classes of the task; empty: they are not known."""
        return self.task.labels if self.task else []

    def at(self, file: str, *keys: str | int) -> Place:
        """The place of a key in a file."""
        return Place(self, file, keys)

    def param(self, block: str, *keys: str | int) -> Place:
        """The place of a key of params.yaml."""
        return self.at(PARAMS, block, *keys)

    def yaml(self, file: str) -> dict[str, Any]:
        """A YAML file of the repository, read once.

        Raises:
            ParamsError: it is missing or no YAML.
        """
        if file not in self._files:
            self._files[file] = read_yaml(self.root / file)
        return self._files[file]

    def line(self, file: str, keys: tuple[str | int, ...]) -> int | None:
        """The line of the innermost key of the path that the file has."""
        if file not in self._lines:
            self._lines[file] = _compose(self.root / file)
        return _line(self._lines[file], keys)


@dataclass(frozen=True)
class Place:
    """A key in a file, written as people look for it: file, line, dotted key.

    A file is parsed for its lines when a place in it is written, so only when there is something to report of it.
    """

    project: Project
    file: str
    keys: tuple[str | int, ...]

    def __str__(self) -> str:
        line = self.project.line(self.file, self.keys)
        dotted = ".".join(map(str, self.keys))
        return " ".join(part for part in (f"{self.file}:{line}" if line else self.file, dotted) if part)


def read_project(root: Path) -> Project:
    """The project in a folder, its blocks not yet checked.

    Raises:
        ParamsError: params.yaml or dvc.yaml is missing or no YAML, so that nothing else can be said.
    """
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    stages = read_yaml(root / PIPELINE).get("stages")
    params = read_yaml(root / PARAMS)
    return Project(root, params, stages if isinstance(stages, dict) else {}, _files={PARAMS: params})


def step_module(stage: str) -> Any:
    """The module of a stage; None: there is none. Importing it loads no heavy library: the contract test holds that."""
    name = f"pipeline_steps.{stage}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def _compose(path: Path) -> Node | None:
    try:
        node: Node | None = YAML(typ="safe", pure=True).compose(path)
    except (OSError, YAMLError, UnicodeDecodeError):
        return None
    return node


def _line(node: Node | None, keys: tuple[str | int, ...]) -> int | None:
    """The line, from 1, of the innermost key of the path that the tree has; keys that it lacks are passed over.

    What pydantic names beside keys, such as the member of a union, is no key of the file.
    """
    line = None
    for key in keys:
        if isinstance(node, MappingNode):
            found = next(((name, value) for name, value in node.value if name.value == str(key)), None)
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            found = (node.value[key], node.value[key])
        else:
            found = None
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
    return line
