"""The labelling loop: push the most useful unlabelled texts to people, pull their answers into the label store.

People answer on the Label Studio server that LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN name, or in files where there is
none. Pushed twice is once, pulled twice is once, and after a crash the same command carries on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flows.defaults import MAX_POOL, MIN_AGREEMENT, N_ANNOTATORS, N_OPEN
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import Task, flow, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State, TaskRun  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.labelling import choosing, collecting  # noqa: E402
from flows.labelling import steps as labelling  # noqa: E402
from flows.runner import workspace  # noqa: E402
from ratchet.errors import PipelineError, SourceError  # noqa: E402

RETRY_DELAY_S = 5
T = TypeVar("T")


@flow(name="label-push", validate_parameters=True, persist_result=False)
def push(
    n_open: int = N_OPEN,
    n_annotators: int = N_ANNOTATORS,
    query_strategy: str = "",
    bundle: str = "",
    max_pool: int = MAX_POOL,
    suspects: bool = False,
) -> State[Any]:
    """Fill the queue up to `n_open` texts that still need answers.

    Args:
        n_open: texts that shall wait in the queue.
        n_annotators: people who are asked about each.
        query_strategy: what chooses; empty: the one of `sample` in params.yaml.
        bundle: folder of the model whose uncertainty counts; empty: the champion's, or the latest accepted one's, or
            none where no model was accepted.
        max_pool: texts that are scored; of a larger pool this many at random.
        suspects: ask again about labels that look wrong to `vet`, instead of about unlabelled texts; of those that
            are trained on, so that no test label is corrected where a model errs.

    Raises:
        PipelineError: a value is out of its range, or suspects are asked for together with what chooses other texts.
    """
    _check(n_open=n_open >= 1, n_annotators=n_annotators >= 1, max_pool=max_pool >= 1)
    if suspects and (query_strategy or bundle):
        raise PipelineError(
            "Suspects are chosen by `vet`.", got="--suspects with --query-strategy or --bundle", fix="leave these out"
        )
    root = Path.cwd()
    workspace.lock_workspace(root)
    queue = labelling.open_queue(root, n_annotators)
    n_sent = _step(labelling.send_outbox)(root, queue)
    n_waiting = _step(labelling.count_open)(root, queue, n_annotators)
    if n_waiting < n_open:
        if suspects:
            _step(choosing.fill_outbox_with_suspects)(root, queue, n_open - n_waiting)
        else:
            _step(choosing.fill_outbox)(root, queue, n_open - n_waiting, query_strategy, bundle, max_pool)
        n_new = _step(labelling.send_outbox)(root, queue)
        n_sent, n_waiting = n_sent + n_new, n_waiting + n_new
    note = labelling.guidelines_note(root)
    return Completed(message=f"{n_sent} texts sent to {queue.where}; {n_waiting} wait for answers{note}")


@flow(name="label-pull", validate_parameters=True, persist_result=False)
def pull(n_annotators: int = N_ANNOTATORS, min_agreement: float = MIN_AGREEMENT, answers: str = "") -> State[Any]:
    """Bring answers into the label store, decide what can be decided, send conflicts to an adjudicator.

    Args:
        n_annotators: people who must have answered before a text is decided.
        min_agreement: share of them who must agree, in (0, 1]; otherwise the text is escalated.
        answers: a spreadsheet or JSONL file with answers to read as well; empty: none.
    """
    _check(n_annotators=n_annotators >= 1, min_agreement=0 < min_agreement <= 1)
    root = Path.cwd()
    workspace.lock_workspace(root)
    queue, conflicts = labelling.open_queue(root, n_annotators), labelling.open_queue(root, 1, conflicts=True)
    answered = _step(collecting.fetch)(root, queue, conflicts, answers)
    added = _step(collecting.add_to_stores)(root, queue, answered, n_annotators, min_agreement)
    n_escalated = _step(labelling.escalate)(root, conflicts)
    return Completed(message=f"{added}; {n_escalated} in conflict, at {conflicts.where}")


def _check(**kept: bool) -> None:
    if broken := [name for name, holds in kept.items() if not holds]:
        raise PipelineError(
            "A value is out of its range.",
            got=", ".join(broken),
            expected="n_open, n_annotators and max_pool at least 1, min_agreement in (0, 1]",
        )


def _step(work: Callable[..., T]) -> Callable[..., T]:
    """The work as a task that is retried while the server is unreachable: each is safe to repeat."""
    return task(  # type: ignore[call-overload,no-any-return]
        work,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=RETRY_DELAY_S,
        retry_condition_fn=_server_is_unreachable,
    )


def _server_is_unreachable(work: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), SourceError)
