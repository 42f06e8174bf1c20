"""What `ratchet run` does: checks the workspace, then runs the pipeline as a Prefect flow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.runner import stages, workspace
from flows.runner.command import run_flow, say_start
from flows.runner.execution import start_guard

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def run(root: Path, targets: Sequence[str], verbose: bool, max_workers: int) -> int:
    """Bring every stage up to date, or only the targets and what they need; the exit code: 0, 1 or, interrupted, 130.

    Args:
        root: the workspace, which must be the current folder.
        targets: names of stages; none: all.
        verbose: show the output of the stages as they run.
        max_workers: stages that may run side by side, at least 1.
    """

    def begin() -> State[Any]:
        workspace.prepare(root)  # what can be refused is refused before Prefect is imported
        stages.read_graph(root, targets)
        start_guard(root)
        say_start()
        from flows.pipeline import pipeline

        return pipeline(list(targets), max_workers, verbose, return_state=True)

    return run_flow(begin)
