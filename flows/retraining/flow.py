"""Retraining after drift or decay: asks for labels of drifted texts, trains once they are there, stops before release.

An event of the monitor starts it (see prefect.yaml). Without an event it checks whether the requested labels are
there. What it trains goes through every stage and gate; the champion changes only by `ratchet release`,
with the approvals that the policy asks for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flows.defaults import MAX_WAIT_DAYS, MAX_WORKERS, MIN_ANSWERED, N_ANNOTATORS
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.events import emit_event  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.monitoring.flow import ALERT, RESOURCE  # noqa: E402
from flows.pipeline import pipeline  # noqa: E402
from flows.retraining import steps as retraining  # noqa: E402
from flows.runner import workspace  # noqa: E402
from ratchet.errors import PipelineError  # noqa: E402
from ratchet.files import read_json  # noqa: E402

WAITING, STALE = "Waiting", "Stale"
MAX_AGE_H = 12
"""Hours after which an event is stale and not acted on: events queue up while no worker runs."""


@flow(name="retrain", validate_parameters=True, persist_result=False)
def retrain(
    key: str = "",
    model_version: str = "",
    occurred: str = "",
    n_to_label: int = 0,
    min_answered: float = MIN_ANSWERED,
    n_annotators: int = N_ANNOTATORS,
    max_workers: int = MAX_WORKERS,
    max_wait_days: float = MAX_WAIT_DAYS,
) -> State[Any]:
    """Ask for labels of drifted texts; train once they are there, or with what there is when the time is over.

    Args:
        key: the finding that started this; empty: none did, look for answers only.
        model_version: the model it was found of.
        occurred: when, ISO 8601.
        n_to_label: texts to ask about; 0: as live.yaml says.
        min_answered: share of these that must be decided before training starts, in (0, 1]; what people skipped as
            unusable does not count.
        n_annotators: people who are asked about each.
        max_workers: stages that may run side by side.
        max_wait_days: days after which the request ends: with the labels there are, or closed where there is none.

    Raises:
        RatchetError: the workspace is taken, or there is nothing to ask about.
    """
    root, now = Path.cwd(), datetime.now(UTC)
    workspace.lock_workspace(root)
    request = retraining.read_request(root)
    if key:
        if reason := _stale(root, key, model_version, occurred, now):
            return Completed(name=STALE, message=reason)
        if request is None:
            request = retraining.request_labels(root, key, model_version, n_to_label, n_annotators, now)
    if request is None:
        return Completed(name=WAITING, message="no labels were asked for")
    reached = retraining.progress(root, request, max_wait_days)
    if reached.is_in_vain(now):
        retraining.close_request(root, request, now, "expired")
        return Completed(name=WAITING, message=f"the request ended without a label; {_summary(reached)}")
    if not reached.is_ready(min_answered, now):
        return Completed(name=WAITING, message=f"{_summary(reached)}; answer them, then: ratchet labels pull")
    state = pipeline(max_workers=max_workers, return_state=True)
    if not state.is_completed():
        raise PipelineError("The retraining failed.", got=state.message, fix="correct it; the same run carries on")
    retraining.close_request(root, request, now)
    return _decided(root)


def _summary(reached: retraining.Progress) -> str:
    unusable = f", {reached.n_unusable} are unusable" if reached.n_unusable else ""
    return f"{reached.n_decided} of {reached.n_texts} texts are decided{unusable}"


def _stale(root: Path, key: str, version: str, occurred: str, now: datetime) -> str:
    """Why an event is stale; empty if it is not."""
    if occurred and now - datetime.fromisoformat(occurred) > timedelta(hours=MAX_AGE_H):
        return f"'{key}' was found {occurred}, more than {MAX_AGE_H} hours ago"
    served = retraining.served_version(root)
    if version and served and version != served:
        return f"'{key}' was found of {version}; {served} is served by now"
    return ""


def _decided(root: Path) -> State[Any]:
    """Report the gates' decision as an alert: reviewing and releasing it is a person's task."""
    decision = read_json(root / "reports/decision.json")
    accepted = decision["verdict"] == "accepted"
    verdict = f"Retrained; the gates {'accept ' + str(decision['chosen']) if accepted else 'reject every bundle'}."
    next_step = "Review it, commit, and release: ratchet release" if accepted else "Read reports/report.html."
    payload = {"key": "retrained", "kind": "retraining", "message": verdict, "next_step": next_step, "evidence": {}}
    payload |= {"runbook": "docs/monitoring.md#from-a-drift-to-a-decision"}
    emit_event(ALERT, {"prefect.resource.id": f"{RESOURCE}.retrained"}, payload=payload)
    return Completed(message=f"{verdict} {next_step}")
