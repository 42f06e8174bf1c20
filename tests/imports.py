"""What the modules of the repository import, read from their source."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import jinja2.meta

COMMAND_LINE = ("ratchet.commands", "ratchet.__main__")
"""The command line stands above the flows that it starts: nothing imports it, and it alone of ratchet imports flows."""
FORBIDDEN = {
    "ratchet": ("prefect", "dvc", "pipeline_steps", "flows", "benchmarks", "tests"),
    "pipeline_steps": ("prefect", "dvc", "pipeline_steps", "flows", "benchmarks", "tests", *COMMAND_LINE),
    "flows": ("benchmarks", "tests", *COMMAND_LINE),
}
"""Package → what it must not import. Imports run one way: command line → flows → pipeline_steps → ratchet."""
ROOMS = (
    "data",
    "models",
    "compress",
    "engines",
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
    "scoring",
    "studio",
    "commands",
)
"""The rooms of ratchet, from the bottom up: each may import those before it, and the modules beside the rooms."""
TEMPLATES = Path("ratchet/reporting/templates")
"""The templates of ratchet, as `ratchet.reporting.templates` finds them."""

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
    for node in _running_nodes(source):
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


def imported_by_name(source: str) -> set[str]:
    """Packages of which a module's source imports whatever a name at run time says: any of their modules may run.

    >>> imported_by_name("import_module(f'a.b.{name}')"), imported_by_name("import_module('a.b')")
    ({'a.b'}, set())
    """
    found: set[str] = set()
    for node in _running_nodes(source):
        if isinstance(node, ast.Call) and _called(node) == "import_module" and isinstance(node.args[0], ast.JoinedStr):
            first = node.args[0].values[0]
            if isinstance(first, ast.Constant) and str(first.value).endswith("."):
                found.add(str(first.value).rstrip("."))
    return found


def rendered(source: str) -> set[str]:
    """Names of the templates that a module's source renders: what stands first in its calls of `render_template`.

    >>> rendered("render_template('page.html', title=title)")
    {'page.html'}

    Raises:
        ValueError: a name is no literal, so that nobody can tell which file is read.
    """
    found: set[str] = set()
    for node in _running_nodes(source):
        if isinstance(node, ast.Call) and _called(node) == "render_template":
            name = node.args[0] if node.args else None
            if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                raise ValueError(f"line {node.lineno}: render_template wants the template's name as a literal")
            found.add(name.value)
    return found


def template_closure(root: Path, names: Iterable[str]) -> set[Path]:
    """Files of templates, relative to root, with those they extend, include and import."""
    found: set[Path] = set()
    waiting = list(names)
    while waiting:
        path = TEMPLATES / waiting.pop()
        if path not in found:
            found.add(path)
            tree = jinja2.Environment(autoescape=True).parse((root / path).read_text(encoding="utf-8"))
            waiting += [name for name in jinja2.meta.find_referenced_templates(tree) if name is not None]
    return found


def template_violations(root: Path) -> list[str]:
    """Modules whose templates cannot be told or found, and templates that no page needs."""
    found: list[str] = []
    used: set[Path] = set()
    for path in sorted((root / "ratchet").rglob("*.py")):
        try:
            used |= template_closure(root, rendered(path.read_text(encoding="utf-8")))
        except (ValueError, FileNotFoundError) as error:
            found.append(f"{path.relative_to(root)}: {error}")
    there = {path.relative_to(root) for path in (root / TEMPLATES).glob("*")}
    return found + [f"{path}: no module of ratchet renders it" for path in sorted(there - used)]


def closure(root: Path, start: Path) -> set[Path]:
    """Files of ratchet, relative to root, that running `start` can import or render and that can change what it writes.

    Packages' __init__ hold no code; NOT_DEPS are left out. What is imported by a name that only the run knows can be
    any module of its package, so all of them count.
    """
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        source = (root / path).read_text(encoding="utf-8")
        found |= template_closure(root, rendered(source))
        targets = {target for target in _targets(root, source, path) if target.as_posix() not in NOT_DEPS} - found
        found |= targets
        waiting += targets
    return found


def _targets(root: Path, source: str, path: Path) -> set[Path]:
    """Files of ratchet, relative to root, that the module at `path` itself imports."""
    names = imported(source, _module(path))
    for package in imported_by_name(source):
        folder = root / package.replace(".", "/")
        names |= {f"{package}.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"}
    files = {Path(*name.split(".")).with_suffix(".py") for name in names}
    return {file for file in files if file.parts[0] == "ratchet" and (root / file).is_file()}


def direction_violations(root: Path) -> list[str]:
    """Imports that run the wrong way, and package __init__ files that hold more than a docstring."""
    found = []
    for package, forbidden in FORBIDDEN.items():
        for path in sorted((root / package).rglob("*.py")):
            source, where = path.read_text(encoding="utf-8"), path.relative_to(root)
            if path.name == "__init__.py" and not _only_docstring(source):
                found.append(f"{where}: may hold a docstring only: stages do not list it among their deps")
            allowed = "flows" if _within(_module(where), COMMAND_LINE) else ""
            names = sorted(imported(source, _module(where)))
            wrong = [name for name in names if _within(name, [item for item in forbidden if item != allowed])]
            found += [f"{where}: must not import {name}" for name in wrong]
    return found


def room_violations(root: Path) -> list[str]:
    """Imports from a room of ratchet into one that stands above it, and modules that import each other in a circle."""
    found, graph = [], {}
    for path in sorted((root / "ratchet").rglob("*.py")):
        where = path.relative_to(root)
        graph[where] = _targets(root, path.read_text(encoding="utf-8"), where)
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
    """Rank of a module's room; modules beside the rooms rank lowest, but for the command line's entry point."""
    if len(path.parts) > 2:
        return ROOMS.index(path.parts[1]) + 1
    return len(ROOMS) + 1 if path.stem == "__main__" else 0


def _within(module: str, packages: Sequence[str]) -> bool:
    """Whether a module is one of the packages or lies in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def _running_nodes(source: str) -> list[ast.AST]:
    return _running(ast.parse(source))


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
