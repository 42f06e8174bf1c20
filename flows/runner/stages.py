"""The pipeline as DVC reads it, loaded once: graph, stale stages, outputs; and DVC's run of one stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.runner.lock_file import entry_text, in_order, read_entries, write_entries
from ratchet.errors import PipelineError

LOCK_POLL_S = 0.05
"""Poll interval for DVC's lock. DVC's own half a second starves a stage beside one that needs the lock often."""


@dataclass(frozen=True)
class Stage:
    """One stage of dvc.yaml; each combination of a matrix is a stage of its own."""

    name: str
    needs: tuple[str, ...]
    """The stages whose outputs it reads."""
    time_limit_s: float
    """`meta: time_limit_s` of dvc.yaml; 0: none."""


class Pipeline:
    """dvc.yaml and dvc.lock as they are when this is made; only `sort_lock` reads dvc.lock again.

    What dvc.lock records of a stage changes by a run of that stage alone, and a flow runs each stage at most once: so
    one reading serves a whole flow, where DVC's command line reads both files again for every stage.

    Raises:
        PipelineError: dvc.yaml or dvc.lock is invalid.
    """

    def __init__(self, root: Path) -> None:
        import dvc.lock
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import get_active_graph, plan_repro

        dvc.lock.DEFAULT_TIMEOUT = LOCK_POLL_S * 6  # DVC looks six times in it
        self._path, self._lock_path = root / "dvc.yaml", root / "dvc.lock"
        try:
            self._repo = Repo(str(root), _wait_for_lock=True)
            with self._repo.lock:
                self._graph = get_active_graph(self._repo.index.graph)
                ordered = plan_repro(self._graph, list(self._repo.index.stages))
            self._stages = {stage.name: stage for stage in ordered if getattr(stage, "name", "")}
        except (DvcException, ValueError) as error:
            raise PipelineError(
                "DVC cannot read the pipeline.", where=self._path, got=error, fix="`dvc stage list` says more"
            ) from None

    def plan(self, targets: Sequence[str] = ()) -> list[Stage]:
        """The stages in the order in which `dvc repro` runs them; with targets, only those and what they need.

        Raises:
            PipelineError: a target is not in dvc.yaml.
        """
        from dvc.repo.reproduce import plan_repro

        chosen = [stage for target in targets for stage in self._named(target)] or list(self._stages.values())
        plan = [stage for stage in plan_repro(self._graph, chosen) if stage.name in self._stages]
        return [
            Stage(
                stage.name,
                tuple(sorted(need.name for need in self._graph.successors(stage) if need in plan)),
                float((stage.meta or {}).get("time_limit_s", 0)),
            )
            for stage in plan
        ]

    def stale(self, names: Sequence[str]) -> list[str]:
        """The stages whose command, a dependency, a param or an output differs from dvc.lock."""
        with self._locked():
            return [name for name in names if self._stages[name].changed()]

    def reproduce(self, name: str) -> None:
        """Reproduce one stage as `dvc repro --single-item` does, with the same output.

        Raises:
            DvcException: the command failed, or something it needs or should have written is missing.
        """
        stage = self._stages[name]
        with self._locked(), self._repo.scm_context(quiet=True):
            if stage.reproduce():
                self._record(stage)

    def put_back(self, name: str) -> list[str]:
        """Check out the outputs that dvc.lock records for a stage, as far as the cache has them; their paths."""
        from dvc.stage.serialize import to_single_stage_lockfile

        with self._locked():
            stage = self._stages[name]
            if not all(out.hash_info for out in stage.outs):
                return []
            # as DVC's run cache does it: a stage in which git's outputs are cached too, so that they can be checked out
            recorded = self._repo.stage_cache._create_stage(to_single_stage_lockfile(stage), wdir=stage.wdir)
            found = [out for out in recorded.outs if not out.changed_cache()]
            for out in found:
                out.checkout(force=True)
            return [str(out) for out in found]

    def sort_lock(self) -> None:
        """Give dvc.lock the order that `dvc repro` gives it: stages that run side by side add theirs as they finish."""
        with self._locked():
            entries = read_entries(self._lock_path)
            if not entries:
                return
            ordered = in_order(entries, list(self._stages))
            if list(entries) != list(ordered):
                write_entries(self._lock_path, ordered)

    def _record(self, stage: Any) -> None:
        """Write the dependencies and outputs of a stage that has run to dvc.lock."""
        from dvc.stage.serialize import to_single_stage_lockfile

        entries = read_entries(self._lock_path)
        if entries is None:
            stage.dump(update_pipeline=False)
            return
        entries[stage.name] = entry_text(stage.name, to_single_stage_lockfile(stage))
        write_entries(self._lock_path, entries)
        self._repo.scm_context.track_file(str(self._lock_path))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._repo.lock:
            yield

    def _named(self, name: str) -> list[Any]:
        """The stage of that name, or all of a matrix; not by DVC's look-up, which depends on the working directory."""
        found = [stage for known, stage in self._stages.items() if name in (known, known.split("@")[0])]
        if not found:
            raise PipelineError("There is no such stage.", where=self._path, got=name, fix="dvc stage list")
        return found
