"""The pipeline as a Prefect flow: a task for each stage of dvc.yaml, started when its dependencies are done.

DVC decides whether a stage is stale and is the only cache; Prefect schedules, observes and reports. Where no stage is
stale, no flow is run: see `flows.runner.launch`.
"""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.defaults import MAX_WORKERS
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.futures import PrefectFuture  # noqa: E402
from prefect.states import Completed, Failed  # noqa: E402
from prefect.task_runners import ThreadPoolTaskRunner  # noqa: E402

from flows.runner import workspace  # noqa: E402
from flows.runner.audit import record  # noqa: E402
from flows.runner.command import STOPPED  # noqa: E402
from flows.runner.dvc_client import DvcClient, open_pipeline  # noqa: E402
from flows.runner.execution import (  # noqa: E402
    CACHED,
    FAILED,
    Outcome,
    run_stage,
    stages_end_with_the_flow,
    start_guard,
)
from flows.runner.openings import JUDGE, enter_opening  # noqa: E402
from flows.runner.progress import Progress  # noqa: E402
from flows.runner.stages import Stage  # noqa: E402
from flows.runner.summary import end_line, print_summary  # noqa: E402


@flow(name="pipeline", validate_parameters=True, persist_result=False)
def pipeline(targets: list[str] | None = None, max_workers: int = MAX_WORKERS, verbose: bool = False) -> State[Any]:
    """Bring every stage up to date, or only the targets and what they need.

    Args:
        targets: stages; none: all.
        max_workers: stages that may run side by side.
        verbose: show the output of the stages as they run.

    Raises:
        RatchetError: the workspace or params.yaml is not fit to run.
    """
    root = Path.cwd()
    workspace.prepare(root)
    start_guard(root)
    with open_pipeline(root) as dvc:
        plan = dvc.plan(targets or ())
        with Progress(len(plan), verbose=verbose) as progress:
            outcomes = _run_all(root, dvc, plan, progress, max_workers)
            dvc.sort_lock()
            failed = [name for name, outcome in outcomes.items() if outcome.state == FAILED]
            left = [stage.name for stage in plan if stage.name not in outcomes]
            if left:
                progress.not_run(left, failed)
    counts = _count(outcomes)
    record(root, "run", "pipeline", {"n_stages": len(plan), **{f"n_{name.lower()}": n for name, n in counts.items()}})
    if failed:
        errors = "\n\n".join(f"{name}: {outcomes[name].message}" for name in failed)
        return Failed(message=f"{len(failed)} of {len(plan)} stages failed.\n\n{errors}")
    if not targets:  # the reports of a part of the pipeline are those of an earlier run
        print_summary(root, progress.console)
    return Completed(message=end_line(len(plan), counts))


def _run_all(root: Path, dvc: DvcClient, plan: list[Stage], progress: Progress, max_workers: int) -> dict[str, Outcome]:
    """Run the stages, each when its needs are done; those that need a failed one are left out."""
    stale = set(dvc.stale([stage.name for stage in plan]))
    outcomes: dict[str, Outcome] = {}
    futures: dict[str, PrefectFuture[Any]] = {}
    ended: queue.SimpleQueue[tuple[str, Outcome | None]] = queue.SimpleQueue()
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=max_workers)

    def leave() -> None:
        progress.__exit__(None, None, None)
        print(f"\n{STOPPED}", file=sys.stderr, flush=True)
        os._exit(130)

    with runner, stages_end_with_the_flow(leave):
        while True:
            done = {name for name, outcome in outcomes.items() if outcome.state != FAILED}
            for stage in [stage for stage in plan if stage.name not in futures and done.issuperset(stage.needs)]:
                asked = stage.name in stale or any(outcomes[need].state != CACHED for need in stage.needs)
                work, box = _task(root, dvc if asked else None, stage, progress)
                needs = [futures[name] for name in stage.needs]
                futures[stage.name] = runner.submit(work, parameters={}, wait_for=needs)
                futures[stage.name].add_done_callback(_announce(ended, stage.name, box))
            if len(futures) == len(outcomes):
                return outcomes  # what has not started by now, waits for a failed stage
            name, outcome = ended.get()
            if outcome is None:  # the task itself broke, not the stage
                outcome = Outcome(FAILED, 0.0, str(futures[name].state.message))
                progress.finished(name, outcome)
            outcomes[name] = outcome


def _task(root: Path, dvc: DvcClient | None, stage: Stage, progress: Progress) -> tuple[Any, list[Outcome]]:
    """The task of a stage, whose final state is named after what DVC did; and the list that receives its outcome.

    Without DVC, the stage is known to be up to date.
    """
    box: list[Outcome] = []

    def outcome_of() -> Outcome:
        if dvc is None:
            return Outcome(CACHED, 0.0)
        if stage.name == JUDGE:
            enter_opening(root)
        return run_stage(
            root, dvc, stage, lambda: progress.started(stage.name), lambda line: progress.printed(stage.name, line)
        )

    @task(name=stage.name, task_run_name=stage.name, cache_policy=NO_CACHE, persist_result=False)
    def run() -> State[Any]:
        outcome = outcome_of()
        line = progress.finished(stage.name, outcome)
        box.append(outcome)
        get_run_logger().info(line)
        if outcome.state == FAILED:
            return Failed(name=FAILED, message=outcome.message)
        return Completed(name=outcome.state, message=line)

    return run, box


def _announce(
    ended: queue.SimpleQueue[tuple[str, Outcome | None]], name: str, box: list[Outcome]
) -> Callable[[PrefectFuture[Any]], None]:
    return lambda future: ended.put((name, box[0] if box else None))


def _count(outcomes: dict[str, Outcome]) -> dict[str, int]:
    states = [outcome.state for outcome in outcomes.values()]
    return {state: states.count(state) for state in dict.fromkeys(states)}
