"""Releases what the pipeline accepted: a version, its approvals, then the role of champion.

The first call makes and pushes the version. Others approve or reject it with `ratchet registry approve` or `reject`.
The same call again, or the paused flow when it is resumed, promotes it when the policy's approvals are there. What was
rejected, by the gates or by people, is logged and ends the flow without an error.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.runner.audit import record
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow, get_run_logger, pause_flow_run, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.input import RunInput  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.reference import keep_reference  # noqa: E402
from ratchet.errors import PipelineError  # noqa: E402
from ratchet.gates.measured_reports import read_report  # noqa: E402
from ratchet.registry import operations  # noqa: E402
from ratchet.registry.audit_entry import Action  # noqa: E402
from ratchet.registry.audit_log import entries, log_path, verify  # noqa: E402
from ratchet.registry.clone import Clone  # noqa: E402
from ratchet.registry.fetching import reserve, take_reserved  # noqa: E402
from ratchet.registry.names import Version  # noqa: E402
from ratchet.registry.record import read_measured  # noqa: E402

Bump = Literal["major", "minor", "patch"]
PROMOTED, REJECTED, WAITING = "Promoted", "Rejected", "Waiting"
PAUSE_S = 7 * 24 * 3600
POLL_S = 10


class Answer(RunInput):
    """Form of a resumed flow. It is no signature: approvals count as signed tags only."""

    go_on: bool
    """False ends the flow, and logs that the release was rejected."""
    why: str
    """The reason."""


@dataclass(frozen=True)
class Request:
    """Who releases, why, and with which keys."""

    root: Path
    who: str
    why: str
    bump: Bump = "minor"
    key: str = ""
    model_key: str = ""

    @property
    def clone(self) -> Clone:
        """The clone, with the key that signs."""
        return Clone(self.root, key=self.key)


def propose(request: Request) -> Version | None:
    """The version of the checked-out decision, created and pushed unless it exists; None where the gates rejected.

    Raises:
        RatchetError: the decision cannot be released.
    """
    clone = request.clone
    policy = clone.rules().policy
    decision = read_report(request.root / policy.paths.decision)
    if decision.get("verdict") != "accepted":
        reasons = decision.get("reasons") or ["no reason was given"]
        record(
            request.root, "decision", "rejected", {"n_candidates": len(decision.get("ranking", []))}, reasons[0][:500]
        )
        return None
    clone.fetch()
    clone.catch_up()
    if (existing := _existing(clone)) is not None:
        _note_release(request, existing)
        return existing
    if not request.model_key:
        raise PipelineError("The key that signs bundles is not named.", fix="--model-key FILE, or RATCHET_MODEL_KEY")
    versions = clone.view().versions()
    version = versions[-1].next(request.bump) if versions else Version(policy.artifact, 1, 0, 0)
    record(request.root, "decision", "accepted", {"chosen": decision["chosen"]}, decision["reasons"][0][:500])
    operations.propose(clone, version, Path(request.model_key), request.why, verify(log_path(request.root)))
    _note_release(request, version)
    return version


def promote(request: Request, version: Version) -> tuple[str, str]:
    """Promote a version unless something blocks it; returns promoted, rejected or waiting, and why.

    The bundle's bytes are here, and verified, before the pointer moves. Killed anywhere, the same call completes it.
    """
    clone = request.clone
    clone.fetch()
    view = clone.view()
    held = view.holder("champion")
    if held and held[1].version == version.tag:
        clone.catch_up()
        return PROMOTED, _complete(request, version)
    lacking = operations.promotion_blockers(view, version)
    if lacking.startswith("rejected"):
        record(request.root, "rejection", version.tag, {"who": request.who}, lacking)
        return REJECTED, f"{version.tag} was {lacking}"
    if lacking:
        return WAITING, f"{version.tag} has {lacking}: ratchet registry approve {version.tag} --who NAME --why REASON"
    reserve(view, version)
    operations.promote(clone, version, request.why, verify(log_path(request.root)))
    return PROMOTED, _complete(request, version)


def _complete(request: Request, version: Version) -> str:
    """Do what follows the push of a promotion, as far as it is not done: audit entry, bytes, reference."""
    view = request.clone.view()
    held = view.holder("champion")
    tag = held[0].tag if held else ""
    if held and held[1].action == "promote":
        _note(request, "promotion", version, tag)
    bundle = request.root / view.rules.policy.paths.models / operations.CHAMPION_FOLDER
    take_reserved(view, version)
    return f"{version.tag} is the champion, by {tag}; {keep_reference(request.root, bundle)}"


def _note_release(request: Request, version: Version) -> None:
    """Log that a version was made, unless the log says so: killed after the push, the next call says it."""
    view = request.clone.view()
    commit = view.tag(version.tag).commit
    challenges = [change for change in view.changes() if change.role == "challenger"]
    tag = next((change.tag for change in challenges if view.tag(change.tag).commit == commit), version.tag)
    _note(request, "release", version, tag)


def _note(request: Request, action: Action, version: Version, tag: str) -> None:
    """Log a change of the registry once; who made it signed it, whoever completes it."""
    log = log_path(request.root)
    if any(entry.action == action and entry.details.get("tag") == tag for entry in entries(log)):
        return
    statement = request.clone.view().tag(tag).statement
    record(request.root, action, version.tag, {"who": request.who, "tag": tag}, statement.why)


@flow(name="release", validate_parameters=True, persist_result=False)
def release(
    who: str, why: str, bump: Bump = "minor", key: str = "", model_key: str = "", wait: bool = False
) -> State[Any]:
    """Release the decision that is checked out.

    Args:
        who: who releases.
        why: the reason, kept for good.
        bump: which part of the version goes up.
        key: SSH key that signs; empty: Git's own setting.
        model_key: PEM key that signs the bundle.
        wait: pause until somebody resumes the flow, as often as approvals are missing.
    """
    request = Request(Path.cwd(), who, why, bump, key, model_key)
    work = task(cache_policy=NO_CACHE, persist_result=False)(propose)
    version = work(request)
    if version is None:
        return Completed(name=REJECTED, message="the gates rejected every bundle; nothing is released")
    step = task(cache_policy=NO_CACHE, persist_result=False)(promote)
    state, message = step(request, version)
    while wait and state == WAITING:
        get_run_logger().info(message)
        answer = pause_flow_run(
            wait_for_input=Answer.with_initial_data(description=message), timeout=PAUSE_S, poll_interval=POLL_S
        )
        if not answer.go_on:
            record(request.root, "rejection", version.tag, {"who": who}, answer.why)
            return Completed(name=REJECTED, message=f"{version.tag} is not promoted: {answer.why}")
        state, message = step(request, version)
    return Completed(name=state, message=message)


def _existing(clone: Clone) -> Version | None:
    """The version released from this very decision; None where there is none yet."""
    view = clone.view()
    paths = view.rules.policy.paths
    measured = read_measured(view.repository, view.main, view.rules.policy)
    decision = hashlib.sha256((clone.root / paths.decision).read_bytes()).hexdigest()
    for version in reversed(view.versions()):
        bound = view.record(version)["bound"]
        if bound[paths.decision] == decision and bound[paths.lock] == measured.sha256[paths.lock]:
            return version
    return None
