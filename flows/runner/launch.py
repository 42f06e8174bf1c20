"""Entry point of a run from the command line: asks DVC whether any stage is stale, and starts a flow only if one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.defaults import MAX_WORKERS
from flows.runner import workspace
from flows.runner.audit import record
from flows.runner.command import announce_start, run_flow
from flows.runner.dvc_client import open_pipeline
from flows.runner.environment import set_environment
from flows.runner.execution import CACHED, Outcome, start_guard
from flows.runner.openings import enter_opening
from flows.runner.progress import Progress
from flows.runner.summary import end_line, print_summary

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def run(root: Path, targets: Sequence[str] = (), verbose: bool = False, max_workers: int = MAX_WORKERS) -> int:
    """Bring every stage up to date, or only the targets and what they need; the exit code.

    A run that executes a stage is a run of the flow `pipeline`. One that has nothing to do never imports Prefect, and
    ends in little more than the time that DVC takes to say so.

    Args:
        root: the repository, which is the working directory.
        targets: stages; none: all.
        verbose: show the output of the stages as they run.
        max_workers: stages that may run side by side.
    """
    set_environment(root=root)
    return run_flow(lambda: _begin(root, list(targets), verbose, max_workers))


def _begin(root: Path, targets: list[str], verbose: bool, max_workers: int) -> State[Any] | str:
    workspace.claim(root)
    dvc = open_pipeline(root)
    try:
        names = [stage.name for stage in dvc.plan(targets)]
        if not dvc.stale(names):
            return _nothing_to_do(root, names, whole=not targets)
        # what only a run that does something needs is imported and looked at from here on
        from flows.checks import checklist

        checklist.require(root)
        start_guard(root)
        announce_start()
        from flows.pipeline import pipeline

        return pipeline(targets, max_workers, verbose, return_state=True)
    finally:
        dvc.close()


def _nothing_to_do(root: Path, names: list[str], whole: bool) -> str:
    """Print progress and summary of a run in which every stage is up to date; returns its last line."""
    with Progress(len(names)) as progress:
        for name in names:
            progress.finished(name, Outcome(CACHED, 0.0))
    if whole:
        enter_opening(root)  # of a plain `dvc repro`
    record(root, "run", "pipeline", {"n_stages": len(names), "n_cached": len(names)})
    if whole:
        print_summary(root, progress.console)
    return end_line(len(names), {CACHED: len(names)})
