"""dvc.yaml against the modules, the params and the files that there are."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from flows.checks.finding import Finding, error, unknown
from flows.checks.project import PIPELINE, Project, step_module
from ratchet.models.bundle import MANIFEST
from ratchet.models.discovery import RELEASED

MODELS = PurePosixPath("models")
VARIABLE = re.compile(r"\$\{([\w.]+)\}")


def check_wiring(project: Project) -> list[Finding]:
    """Stages without a module, keys and files that there are none of, outputs written twice, bundles of no stage."""
    outs = _outs(project)
    return [
        *_modules(project),
        *_keys(project),
        *_deps(project, list(outs)),
        *_written_twice(project, outs),
        *_stray_bundles(project, list(outs)),
    ]


def _modules(project: Project) -> Iterator[Finding]:
    for stage in project.stages:
        if step_module(stage) is None:
            yield error(
                "The stage has no module.",
                project.at(PIPELINE, "stages", stage),
                got=f"no pipeline_steps/{stage}.py",
                expected="a module of the stage's name",
                fix=f"add pipeline_steps/{stage}.py, or delete the stage",
            )


def _keys(project: Project) -> Iterator[Finding]:
    """The params that a stage lists are keys of params.yaml; DVC would take a missing one for a value of none."""
    for stage, entry in project.stages.items():
        for place, name in enumerate(_list(entry, "params")):
            if not isinstance(name, str):
                continue
            block, _, key = name.partition(".")
            values = project.params.get(block)
            if block not in project.params or (key and not (isinstance(values, dict) and key in values)):
                known = list(values) if isinstance(values, dict) else list(project.params)
                what, where = "The stage depends on a param that there is none of.", ("stages", stage, "params", place)
                yield unknown(what, project.at(PIPELINE, *where), key or block, known, f"correct or delete {name}")


def _deps(project: Project, outs: list[str]) -> Iterator[Finding]:
    """Every dependency is a file, or what a stage writes."""
    for stage, entry in project.stages.items():
        for place, template in enumerate(_list(entry, "deps")):
            for path in dict.fromkeys(_expanded(project, entry, template)):
                if (project.root / path).exists() or (project.root / f"{path}.dvc").exists() or "://" in path:
                    continue
                if any(_overlap(path, out) for out in outs):
                    continue
                yield error(
                    "The stage depends on what is not there, and what no stage writes.",
                    project.at(PIPELINE, "stages", stage, "deps", place),
                    got=path,
                    expected="a file, or an output of a stage",
                    fix="restore the file with git, or add it to the outs of the stage that writes it",
                )


def _written_twice(project: Project, outs: dict[str, list[str]]) -> Iterator[Finding]:
    for path, writers in outs.items():
        if len(writers) > 1:
            yield error(
                "Two stages write the same path.",
                project.at(PIPELINE, "stages", writers[1]),
                got=f"{path}, by {' and '.join(writers)}",
                expected="one stage a path",
                fix="rename one of the outputs",
            )


def _stray_bundles(project: Project, outs: list[str]) -> Iterator[Finding]:
    """Bundles are discovered by their manifests: one that no stage writes would be measured, and could be promoted."""
    for manifest in sorted((project.root / "models").glob(f"*/{MANIFEST}")):
        path = manifest.parent.relative_to(project.root).as_posix()
        if path not in outs and manifest.parent.name not in RELEASED:
            yield error(
                "No stage writes this bundle, and every stage that measures bundles would find it.",
                path,
                got=f"a folder with {MANIFEST}",
                expected=f"one of {', '.join(out for out in outs if out.startswith('models/'))}",
                fix="move it out of models/, or add the stage that writes it to dvc.yaml",
            )


def written_paths(project: Project) -> list[str]:
    """Every path that a stage writes."""
    return list(_outs(project))


def bundles_of(project: Project, stage: str) -> list[str]:
    """The names of the bundles that a stage can write, one for each combination of its matrix."""
    folders = [PurePosixPath(path) for path, writers in _outs(project).items() if stage in writers]
    return [folder.name for folder in folders if folder.parent == MODELS]


def _outs(project: Project) -> dict[str, list[str]]:
    """Path → the stages that write it, each combination of a matrix counted."""
    found: dict[str, list[str]] = defaultdict(list)
    for stage, entry in project.stages.items():
        for item in (item for kind in ("outs", "metrics", "plots") for item in _list(entry, kind)):
            for path in _expanded(project, entry, next(iter(item)) if isinstance(item, dict) else item):
                found[path].append(stage)
    return found


def _expanded(project: Project, entry: Any, template: Any) -> list[str]:
    """A path of dvc.yaml for every combination of the stage's matrix, with values of params.yaml filled in."""
    matrix = entry.get("matrix", {}) if isinstance(entry, dict) else {}
    paths = []
    for values in itertools.product(*matrix.values()):
        path = str(template)
        for name, value in zip(matrix, values, strict=True):
            path = path.replace(f"${{item.{name}}}", str(value))
        paths.append(VARIABLE.sub(lambda match: str(_param(project, match[1])), path))
    return paths


def _param(project: Project, dotted: str) -> Any:
    value: Any = project.params
    for key in dotted.split("."):
        value = value.get(key, f"${{{dotted}}}") if isinstance(value, dict) else f"${{{dotted}}}"
    return value


def _list(entry: Any, key: str) -> list[Any]:
    values = entry.get(key, []) if isinstance(entry, dict) else []
    return values if isinstance(values, list) else []


def _overlap(one: str, other: str) -> bool:
    """Whether one path is the other, or lies in it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")
