"""`ratchet release`: a version of what the gates accepted, its approvals, then the role of champion."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ratchet.commands.flow_run import run_as_flow
from ratchet.errors import PipelineError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def release(
    who: Annotated[str, typer.Option(help="Your name in .allowed_signers.")],
    why: Annotated[str, typer.Option(help="The reason, kept for good.")],
    bump: Annotated[
        Literal["major", "minor", "patch"], typer.Option(help="What goes up in the version's number.")
    ] = "minor",
    key: Annotated[str, typer.Option(metavar="FILE", help="SSH key that signs; by default user.signingKey.")] = "",
    model_key: Annotated[
        str, typer.Option(metavar="FILE", envvar="RATCHET_MODEL_KEY", help="PEM key that signs the bundle.")
    ] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Pause for approvals, a week at most; needs a server (PREFECT_API_URL).")
    ] = False,
) -> None:
    """Release what the gates accepted, then make it champion.

    The first call makes and pushes the version; others approve or reject it by `ratchet registry`; the same command
    again promotes it when its approvals are there. A rejection is a result, not an error.
    """

    def begin() -> State[Any]:
        from flows.release import release as flow

        return flow(who, why, bump, key, model_key, wait, return_state=True)

    if wait and not os.environ.get("PREFECT_API_URL"):
        raise PipelineError("Nobody can resume a flow without a server.", fix="set PREFECT_API_URL, or leave --wait")
    run_as_flow(begin)
