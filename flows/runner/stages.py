"""What DVC knows: the graph of the stages, which of them are stale, what their last outputs were."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.errors import PipelineError

_one_at_a_time = threading.Lock()  # DVC's own lock keeps processes apart, not threads


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml; each combination of a matrix is a stage of its own."""

    name: str
    needs: tuple[str, ...]
    """The stages whose outputs it reads."""
    time_limit_s: float
    """`meta: time_limit_s` of dvc.yaml; 0: none."""


def read_graph(root: Path, targets: Sequence[str] = ()) -> list[Stage]:
    """The stages in the order in which `dvc repro` runs them; with targets, only those and what they need.

    Raises:
        PipelineError: dvc.yaml is invalid, or a target is not in it.
    """
    from dvc.exceptions import DvcException

    try:
        with _locked_repo(root) as repo:
            plan = _plan(repo, targets)
            graph = repo.index.graph
            found = [
                Stage(
                    stage.name,
                    tuple(sorted(need.name for need in graph.successors(stage) if need in plan)),
                    float((stage.meta or {}).get("time_limit_s", 0)),
                )
                for stage in plan
            ]
    except (DvcException, ValueError) as error:
        raise PipelineError(
            "DVC cannot read the pipeline.", where=root / "dvc.yaml", got=error, fix="`dvc stage list` says more"
        ) from None
    return found


def is_stale(root: Path, name: str) -> bool:
    """Whether the command, a dependency, a param or an output of the stage differs from dvc.lock."""
    with _locked_repo(root) as repo:
        return bool(_load(repo, name).changed())


def put_back(root: Path, name: str) -> list[str]:
    """Check out the outputs that dvc.lock records for a stage, as far as the cache has them; their paths."""
    from dvc.stage.serialize import to_single_stage_lockfile

    with _locked_repo(root) as repo:
        stage = _load(repo, name)
        if not all(out.hash_info for out in stage.outs):
            return []
        # as DVC's run cache does it: a stage in which git's outputs are cached too, so that they can be checked out
        recorded = repo.stage_cache._create_stage(to_single_stage_lockfile(stage), wdir=stage.wdir)
        found = [out for out in recorded.outs if not out.changed_cache()]
        for out in found:
            out.checkout(force=True)
        return [str(out) for out in found]


def sort_lock(root: Path) -> None:
    """Give dvc.lock the order that `dvc repro` gives it: stages that run side by side add theirs as they finish."""
    from dvc.utils.serialize import modify_yaml

    path = root / "dvc.lock"
    if not path.exists():
        return
    with _locked_repo(root) as repo:
        order = {stage.name: place for place, stage in enumerate(_plan(repo, ()))}
        with modify_yaml(str(path)) as data:
            stages = data["stages"]
            names = sorted(stages, key=lambda name: order.get(name, len(order)))
            if names != list(stages):
                data["stages"] = {name: stages[name] for name in names}


def _plan(repo: Any, targets: Sequence[str]) -> list[Any]:
    from dvc.repo.reproduce import get_active_graph, plan_repro

    chosen = [stage for name in targets for stage in _named(repo, name)] or list(repo.index.stages)
    plan = plan_repro(get_active_graph(repo.index.graph), chosen)
    return [stage for stage in plan if getattr(stage, "name", "")]


def _named(repo: Any, name: str) -> list[Any]:
    """The stage of that name, or all of a matrix; not by DVC's own look-up, which depends on the working directory."""
    found = [
        stage
        for stage in repo.index.stages
        if getattr(stage, "name", "") == name or getattr(stage, "name", "").split("@")[0] == name
    ]
    if not found:
        raise PipelineError(
            "There is no such stage.", where=f"{repo.root_dir}/dvc.yaml", got=name, fix="dvc stage list"
        )
    return found


def _load(repo: Any, name: str) -> Any:
    (stage,) = _named(repo, name)
    return stage


@contextmanager
def _locked_repo(root: Path) -> Iterator[Any]:
    from dvc.repo import Repo

    with _one_at_a_time, Repo(str(root), _wait_for_lock=True) as repo, repo.lock:
        yield repo
