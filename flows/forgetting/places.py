"""Every file in which a text can lie, and what is to become of it there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.checks.project import LIVE, PIPELINE, Project
from flows.checks.wiring import written_paths
from flows.forgetting.kinds import count, is_records, kind_of
from flows.forgetting.matching import Forgotten
from flows.init.sources import FOLDER
from flows.labelling.steps import JUDGING_STORE, STORE
from ratchet.data.forgotten import TOMBSTONES
from ratchet.errors import PipelineError
from ratchet.params import read_yaml
from ratchet.registry.audit_log import log_path
from ratchet.scoring.shards import RECORD

Action = Literal["rewrite", "delete", "report"]
JOURNAL = Path(".ratchet/forgetting.json")
SKIPPED = {".git", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}
"""Folders in which no text of the data lies, or that are looked through by their own means."""


@dataclass(frozen=True)
class Place:
    """A place that holds some of the texts."""

    where: str
    """Path relative to the root, or an address."""
    what: str
    """The kind of place, in words."""
    n: int
    """Rows or records; 1 of a file that has none."""
    action: Action
    """What becomes of it; `report`: nothing, a person has to see to it."""
    why: str = ""
    """What a person has to do."""


@dataclass(frozen=True)
class Layout:
    """How the repository is laid out: what Ratchet writes, what people do, where DVC's cache lies."""

    root: Path
    written: frozenset[str]
    """Outputs of stages."""
    sources: frozenset[str]
    """Files and folders that the texts come from."""
    tracked: frozenset[str]
    """Files of Git."""
    untracked: frozenset[str]
    """Files that Git neither tracks nor ignores."""
    cache: Path
    """DVC's cache."""
    remotes: dict[str, str]
    """DVC's remotes by name: a folder, or an address."""
    log: dict[str, Any]
    """Block `log` of live.yaml; empty: there is none."""
    scores: tuple[Path, ...] = ()
    """Folders of `ratchet score` outside the root."""


def read_layout(root: Path, scores: Sequence[Path] = ()) -> Layout:
    """The layout of the repository at `root`; `scores`: folders that `ratchet score` wrote elsewhere.

    Raises:
        PipelineError: one of these is none.
    """
    for folder in scores:
        if not (folder / RECORD).is_file():
            expected = f"a folder that `ratchet score` wrote, with its {RECORD}"
            raise PipelineError("The folder holds no scores.", where=folder, expected=expected)
    params = read_yaml(root / "params.yaml")
    stages = read_yaml(root / PIPELINE).get("stages") or {}
    written = written_paths(Project(root, params, stages))
    ingest = params.get("ingest") or {}
    source = ingest.get("source") or {}
    named = [ingest.get("watch"), source.get("path") if source.get("kind") == "files" else None, FOLDER]
    cache, remotes = _dvc(root)
    live = read_yaml(root / LIVE) if (root / LIVE).is_file() else {}
    return Layout(
        root,
        frozenset(written),
        frozenset(str(name).rstrip("/") for name in named if name),
        frozenset(_git(root, "ls-files", "-z")),
        frozenset(_git(root, "ls-files", "-z", "--others", "--exclude-standard")),
        cache,
        remotes,
        live.get("log") or {},
        tuple(folder.resolve() for folder in scores if not folder.resolve().is_relative_to(root.resolve())),
    )


def files(layout: Layout) -> Iterator[tuple[Path, str]]:
    """Every file of the workspace with its path relative to the root; those of the log and of scores, wherever."""
    own = {JOURNAL.as_posix(), TOMBSTONES}
    audit = log_path(layout.root).resolve()
    for path in _walk(layout.root, layout.cache):
        name = path.relative_to(layout.root).as_posix()
        if name not in own and path.resolve() != audit:
            yield path, name
    log = (layout.root / str(layout.log.get("folder", ""))).resolve()
    outside = [] if log.is_relative_to(layout.root.resolve()) or not layout.log.get("folder") else [log]
    for folder in (*outside, *layout.scores):
        for path in _walk(folder, layout.cache):
            yield path, path.as_posix()


def find(layout: Layout, what: Forgotten) -> list[Place]:
    """Every place of the workspace that holds one of the texts."""
    found = []
    for path, name in files(layout):
        action, kind, why = _treatment(layout, path, name)
        whole = action == "rewrite" and is_records(path)
        if n := _count(path, what, action != "report", whole):
            found.append(Place(name, kind, n, action, why))
    return found


def below(name: str, folders: frozenset[str]) -> bool:
    """Whether a path is one of these, or lies in one."""
    return name in folders or any(name.startswith(f"{folder}/") for folder in folders)


def _treatment(layout: Layout, path: Path, name: str) -> tuple[Action, str, str]:
    if below(name, layout.sources) and not below(name, layout.written):
        return "report", "source", "take it out of the source; ingest leaves it out from now on"
    if below(name, layout.written):
        is_table = kind_of(path) == "parquet"
        return ("rewrite", "table", "") if is_table else ("delete", "output of a stage", "")
    if (path.parent / RECORD).is_file():
        return "rewrite", "scores", ""
    if name in layout.tracked:
        return "report", "file in Git", "edit it"
    if name in layout.untracked:
        return "report", "file of yours", "edit it"
    if below(name, frozenset([STORE.as_posix(), JUDGING_STORE.as_posix()])):
        return "rewrite", "label store", ""
    return "rewrite", "file", ""


def _count(path: Path, what: Forgotten, names: bool, whole: bool) -> int:
    try:
        return count(path, what, names, whole)
    except FileNotFoundError:  # a file that came and went
        return 0


def _walk(folder: Path, cache: Path) -> Iterator[Path]:
    for base, folders, names in os.walk(folder):
        here = Path(base)
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED and not name.startswith(".venv") and (here / name).resolve() != cache.resolve()
        ]
        yield from (here / name for name in sorted(names) if (here / name).is_file())


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    return [name for name in done.stdout.decode("utf-8", "surrogateescape").split("\0") if name]


def _dvc(root: Path) -> tuple[Path, dict[str, str]]:
    """The cache's folder, and the remotes: a folder as its path, anything else by its address."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        cache = Path(repo.cache.local_cache_dir)
        urls = {name: str(settings["url"]) for name, settings in repo.config["remote"].items()}
    return cache, {name: url.removeprefix("file://") for name, url in urls.items()}
