"""The labelling loop: push the most useful unlabelled texts to people, pull their answers into the label store.

    ratchet labels push [--n N] [--annotators N] [--query-strategy NAME] [--bundle FOLDER] [--max-pool N]
    ratchet labels push --suspects [--n N] [--annotators N]
    ratchet labels pull [--annotators N] [--min-agreement RATE] [--answers FILE]

People answer on the Label Studio server that LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN name, or in files where there is
none. Pushed twice is once, pulled twice is once, and after a crash the same command carries on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import Task, flow, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State, TaskRun  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.labelling import steps as labelling  # noqa: E402
from flows.runner import workspace  # noqa: E402
from flows.runner.command import run_flow, say_start  # noqa: E402
from ratchet.errors import PipelineError, SourceError  # noqa: E402

N_OPEN, N_ANNOTATORS, MIN_AGREEMENT, MAX_POOL = 100, 2, 0.6, 20_000
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
        bundle: folder of the model whose uncertainty counts; empty: the champion's, or the latest accepted one's.
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
            _step(labelling.fill_outbox_with_suspects)(root, queue, n_open - n_waiting)
        else:
            _step(labelling.fill_outbox)(root, queue, n_open - n_waiting, query_strategy, bundle, max_pool)
        n_new = _step(labelling.send_outbox)(root, queue)
        n_sent, n_waiting = n_sent + n_new, n_waiting + n_new
    return Completed(message=f"{n_sent} texts sent to {queue.where}; {n_waiting} wait for answers")


@flow(name="label-pull", validate_parameters=True, persist_result=False)
def pull(n_annotators: int = N_ANNOTATORS, min_agreement: float = MIN_AGREEMENT, answers: str = "") -> State[Any]:
    """Bring answers into the label store, decide what can be decided, send conflicts to an adjudicator.

    Args:
        n_annotators: people who must have answered before a text is decided.
        min_agreement: share of them who must agree, in (0, 1]; otherwise the text is escalated.
        answers: a CSV or JSONL file with answers to read as well; empty: none.
    """
    _check(n_annotators=n_annotators >= 1, min_agreement=0 < min_agreement <= 1)
    root = Path.cwd()
    workspace.lock_workspace(root)
    queue, conflicts = labelling.open_queue(root, n_annotators), labelling.open_queue(root, 1, conflicts=True)
    answered = _step(labelling.fetch)(root, queue, conflicts, answers)
    added = _step(labelling.add_to_store)(root, queue, answered, n_annotators, min_agreement)
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
    """The work as a task that is tried again when the server is away: each is safe to repeat."""
    return task(  # type: ignore[call-overload,no-any-return]
        work,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=2,
        retry_delay_seconds=RETRY_DELAY_S,
        retry_condition_fn=_server_is_away,
    )


def _server_is_away(work: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), SourceError)


def main() -> int:
    """Read the command line, run; the exit code."""
    values = vars(_parser().parse_args())
    chosen: Any = {"push": push, "pull": pull}[values.pop("flow")]
    say_start()
    return run_flow(lambda: chosen(**values, return_state=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.labelling.flow", description=(__doc__ or "").split("\n")[0])
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument(
        "--annotators",
        dest="n_annotators",
        type=int,
        default=N_ANNOTATORS,
        metavar="N",
        help=f"people who answer each text ({N_ANNOTATORS})",
    )
    commands = parser.add_subparsers(dest="flow", required=True)
    send = commands.add_parser("push", parents=[both], help="send texts to people")
    send.add_argument("--n", dest="n_open", type=int, default=N_OPEN, help=f"texts that shall wait ({N_OPEN})")
    send.add_argument("--query-strategy", default="", metavar="NAME", help="what chooses; default: sample's")
    send.add_argument("--bundle", default="", metavar="FOLDER", help="the model that is asked; default: the champion")
    send.add_argument("--max-pool", type=int, default=MAX_POOL, metavar="N", help="texts to score, at most")
    send.add_argument("--suspects", action="store_true", help="ask again about labels that look wrong, instead")
    get = commands.add_parser("pull", parents=[both], help="bring answers back")
    get.add_argument(
        "--min-agreement",
        type=float,
        default=MIN_AGREEMENT,
        metavar="RATE",
        help=f"share of people who must agree ({MIN_AGREEMENT})",
    )
    get.add_argument("--answers", default="", metavar="FILE", help="also read this CSV or JSONL file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
