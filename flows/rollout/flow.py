"""Rollout of a challenger on real requests: shadow, a small share, half, then champion by its approvals.

`check` may run at any time and as often as one likes, on a schedule or by hand: it looks at what the log holds of the
current step, and goes at most one step. Where the evidence is against the challenger, all requests go back to the
champion. `ask` sends the texts on which the models disagree in shadow mode to people; `ratchet labels pull` brings
their answers. After the last step the challenger becomes champion only by `ratchet release`, with the approvals
of the policy. Killed at any point, the next `check` carries on; nothing is done or logged twice.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.runner.audit import record
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.reference import read_lexicon, read_patterns  # noqa: E402
from flows.rollout.files import (  # noqa: E402
    locked,
    need_state,
    read_evidence,
    read_params,
    read_state,
    share_experiment,
)
from ratchet.errors import PipelineError  # noqa: E402
from ratchet.experiments.assignment import write_experiment  # noqa: E402
from ratchet.experiments.rollout import WAYS, Rollout, RolloutParams, Status, judge  # noqa: E402
from ratchet.files import sha256_file, write_json  # noqa: E402
from ratchet.models.bundle import MANIFEST, read_manifest  # noqa: E402
from ratchet.registry.audit_entry import Action, Scalar  # noqa: E402
from ratchet.registry.audit_log import actor, entries, log_path  # noqa: E402

Promote = Callable[[Rollout], tuple[str, str]]
"""Requests promotion to champion; returns promoted, waiting or rejected, and why."""
ENDS: dict[str, Status] = {"Promoted": "promoted", "Rejected": "rolled_back"}
"""Answer to the request for promotion → final status of the rollout; with any other answer it waits."""


def start(root: Path, name: str, bundle: Path, version: str, why: str) -> Rollout:
    """Begin a rollout with its first step.

    Raises:
        RatchetError: another one runs, its name was used before, the bundle fails verification, the lexicon lacks an
            attribute whose groups are guarded, or a pattern of the features is none.
    """
    params = read_params(root)
    read_lexicon(root, params.guardrails.attributes)
    read_patterns(root)
    with locked(root / params.state):
        current = read_state(root, params)
        if current is not None and (WAYS[current.status] or not current.settled):
            raise PipelineError("Another rollout is running.", got=current.name, fix="wait for its end, or stop it")
        if any(str(entry.details.get("rollout", "")).startswith(f"{name}:") for entry in entries(log_path(root))):
            raise PipelineError(
                "A rollout had this name before.", got=name, fix="give another: it is the id in the audit log"
            )
        read_manifest(root / bundle)  # verifies every file
        fresh = Rollout(
            name=name,
            bundle=bundle.as_posix(),
            manifest_sha256=sha256_file(root / bundle / MANIFEST),
            version=version,
            salt=secrets.token_hex(16),
            status="running",
            step=params.steps[0].name,
            since=_now(),
            n=1,
            settled=False,
            why=why,
            evidence={},
        )
        fresh.experiment(params)  # raises on an invalid name before anything is written
        return settle(root, params, fresh)


def advance(root: Path, promote: Promote) -> Rollout:
    """Judge the current step's evidence and go at most one step; returns the new state.

    Raises:
        PipelineError: there is no rollout.
    """
    params = read_params(root)
    with locked(root / params.state):
        state = need_state(root, params)
        if not state.settled:  # killed before: do what was decided, look again next time
            return settle(root, params, state)
        if not WAYS[state.status]:
            return state
        (seen, last), proved = read_evidence(root, params, state), state.status == "proved"
        if state.status == "running" and state.champion and last not in ("", state.champion):
            return settle(root, params, state.begun_anew(last))
        state = state.model_copy(update={"champion": state.champion or last})
        lexicon, patterns = read_lexicon(root, params.guardrails.attributes), read_patterns(root)
        verdict = judge(params.step(state.step), seen, params, lexicon, patterns, proved=proved)
        evidence = verdict.to_json() | {"satisfaction": seen.satisfaction()}
        if verdict.decision == "roll_back":
            return settle(root, params, state.changed("rolled_back", state.step, _now(), verdict.why, evidence))
        if proved:
            answer, why = promote(state)
            if answer not in ENDS:
                return state
            return settle(root, params, state.changed(ENDS[answer], state.step, _now(), why, {}))
        if verdict.decision == "stay":
            write_json(root / params.state, state.model_copy(update={"evidence": evidence}).model_dump())
            return state.model_copy(update={"evidence": evidence})
        following = params.after(state.step)
        if following is None:
            return settle(root, params, state.changed("proved", state.step, _now(), verdict.why, evidence))
        return settle(root, params, state.changed("running", following.name, _now(), verdict.why, evidence))


def stop(root: Path, why: str) -> Rollout:
    """Roll the challenger back, by hand.

    Raises:
        RatchetError: there is no rollout, or it has ended.
    """
    params = read_params(root)
    with locked(root / params.state):
        state = settle(root, params, need_state(root, params))
        return settle(root, params, state.changed("rolled_back", state.step, _now(), why, {}))


def settle(root: Path, params: RolloutParams, state: Rollout) -> Rollout:
    """Save a change, publish it to the server, log it; each is idempotent, so that a kill in between does no harm."""
    write_json(root / params.state, state.model_dump())
    experiment = state.experiment(params)
    write_experiment(root / params.experiment, experiment)
    share_experiment(root, experiment)
    change = f"{state.name}:{state.n}"
    if all(entry.details.get("rollout") != change for entry in entries(log_path(root))):
        action: Action = "rollback" if state.status == "rolled_back" else "rollout"
        subject = state.version or f"{state.bundle}@{state.manifest_sha256}"
        details: dict[str, Scalar] = {"rollout": change, "status": state.status, "step": state.step}
        record(root, action, subject, details | _figures(state.evidence.get("difference", {})), state.why)
    settled = state.model_copy(update={"settled": True})
    write_json(root / params.state, settled.model_dump())
    return settled


def by_release(root: Path, key: str) -> Promote:
    """Requests promotion through `flows.release`, which checks the policy's approvals."""

    def promote(state: Rollout) -> tuple[str, str]:
        from flows import release
        from ratchet.registry.names import need_version

        if not state.version:
            return release.WAITING, "the challenger is not released: ratchet release"
        request = release.Request(root, actor(), f"rollout {state.name} proved it", key=key)
        return release.promote(request, need_version(state.version))

    return promote


@flow(name="rollout", validate_parameters=True, persist_result=False)
def check(key: str = "") -> State[Any]:
    """Judge the challenger's current step, and go at most one step.

    Args:
        key: SSH key that signs a promotion; empty: Git's own setting.
    """
    state = advance(Path.cwd(), by_release(Path.cwd(), key))
    return Completed(name=state.status.replace("_", " ").capitalize(), message=summary(state))


def summary(state: Rollout) -> str:
    """One-line summary of a rollout: name, step and reason."""
    why = state.evidence.get("why", state.why) if state.status == "running" else state.why
    return f"{state.name}, step {state.step}: {why}"


def _figures(difference: Mapping[str, Any]) -> dict[str, Scalar]:
    """The defined figures of a difference, as details of the audit log."""
    names = [name for name in ("value", "low", "high", "n") if name in difference]
    known = {name: float(difference[name]) for name in names if difference[name] is not None}
    return {name: round(value, 6) for name, value in known.items() if math.isfinite(value)}


def _now() -> str:
    return datetime.now(UTC).isoformat()
