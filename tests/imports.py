"""What the modules of the repository import, read from their source."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

FORBIDDEN = {
    "ratchet": ("prefect", "dvc", "pipeline_steps", "flows", "benchmarks", "tests"),
    "pipeline_steps": ("prefect", "dvc", "pipeline_steps", "flows", "benchmarks", "tests"),
    "flows": ("benchmarks", "tests"),
}
"""Package → what it must not import. Imports run one way: flows → pipeline_steps → ratchet."""
ROOMS = (
    "data",
    "models",
    "compress",
    "embeddings",
    "measure",
    "labels",
    "trust",
    "gates",
    "registry",
    "reporting",
    "prediction_log",
    "monitoring",
    "experiments",
    "serving",
    "commands",
)
"""The rooms of ratchet, from the bottom up: each may import those before it, and the modules beside the rooms."""

NOT_DEPS = {
    "ratchet/errors.py": "exception classes alone: what they say ends a stage, and a failed stage has no output",
    "ratchet/progress.py": "prints how far a loop is, and returns nothing that a stage could write",
}
"""Modules that cannot change an output → why: no stage depends on them, so that rewording a message reruns nothing.
`tests.test_not_deps` holds the reasons. `ratchet/entry.py` is a dependency: it sets variables that libraries read."""


def imported(source: str, module: str) -> set[str]:
    """Dotted names a module's source imports anywhere but under TYPE_CHECKING, functions included.

    `from a import b` gives both `a` and `a.b`: which of the two is a module, only the file system tells.

    >>> sorted(imported("def f():\\n    from a.b import c", "x.y")), sorted(imported("from . import z", "x.y"))
    (['a.b', 'a.b.c'], ['x', 'x.z'])
    """
    found: set[str] = set()
    for node in _running(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return found


def closure(root: Path, start: Path) -> set[Path]:
    """Files of ratchet, relative to root, that running `start` can import and that can change what it writes.

    Packages' __init__ hold no code; NOT_DEPS are left out.
    """
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        for name in imported((root / path).read_text(encoding="utf-8"), _module(path)):
            target = Path(*name.split(".")).with_suffix(".py")
            if target.as_posix() in NOT_DEPS or target.parts[0] != "ratchet" or target in found:
                continue
            if (root / target).is_file():
                found.add(target)
                waiting.append(target)
    return found


def direction_faults(root: Path) -> list[str]:
    """Imports that run the wrong way, and package __init__ files that hold more than a docstring."""
    found = []
    for package, forbidden in FORBIDDEN.items():
        for path in sorted((root / package).rglob("*.py")):
            source, where = path.read_text(encoding="utf-8"), path.relative_to(root)
            if path.name == "__init__.py" and not _only_docstring(source):
                found.append(f"{where}: may hold a docstring only: stages do not list it among their deps")
            names = sorted(imported(source, _module(where)))
            wrong = [name for name in names if name.split(".")[0] in forbidden]
            found += [f"{where}: must not import {name}" for name in wrong]
    return found


def room_faults(root: Path) -> list[str]:
    """Imports from a room of ratchet into one that stands above it, and modules that import each other in a circle."""
    found, graph = [], {}
    for path in sorted((root / "ratchet").rglob("*.py")):
        where = path.relative_to(root)
        names = imported(path.read_text(encoding="utf-8"), _module(where))
        targets = {Path(*name.split(".")).with_suffix(".py") for name in names}
        graph[where] = {target for target in targets if (root / target).is_file() and target.parts[0] == "ratchet"}
        found += [
            f"{where}: must not import {target}, which stands above it"
            for target in sorted(graph[where])
            if _floor(target) > _floor(where)
        ]
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        found.append(f"these import each other in a circle: {' → '.join(map(str, error.args[1]))}")
    return found


def _floor(path: Path) -> int:
    """The place of a module's room; the modules beside the rooms are the ground, but for the command line's door."""
    if len(path.parts) > 2:
        return ROOMS.index(path.parts[1]) + 1
    return len(ROOMS) + 1 if path.stem == "__main__" else 0


def _running(node: ast.AST) -> list[ast.AST]:
    """All nodes below but what runs for the type checker only."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    return [node, *(found for child in children for found in _running(child))]


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).split(".")[-1]


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def _only_docstring(source: str) -> bool:
    body = ast.parse(source).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)
