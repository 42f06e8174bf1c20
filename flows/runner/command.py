"""A flow run from the command line: messages at start and end, and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flows.runner.environment import set_environment
from ratchet.errors import PipelineError, RatchetError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

ANSWER_S = 10.0
"""Timeout of a server's health check, in seconds."""
STOPPED = "stopped; the same command carries on from here"


def run_flow(begin: Callable[[], State[Any] | str]) -> int:
    """Run a flow and print its result; the exit code: 0, also for a rejection, 1 for an error, 130 on interrupt.

    Args:
        begin: checks what can be checked before Prefect starts, then calls the flow with `return_state=True`; where
            nothing has to run it returns the message at once.
    """
    try:
        state = begin()
        if isinstance(state, str):
            print(state)
            return 0
        if not state.is_completed():
            error = state.result(raise_on_failure=False)
            raise error if isinstance(error, RatchetError) else PipelineError(str(state.message))
    except RatchetError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{STOPPED}", file=sys.stderr)
        return 130
    print(state.message if state.name == "Completed" else f"{state.name}: {state.message}")
    return 0


def announce_start() -> None:
    """Announce the wait where Prefect has to start an embedded server; check a server that is named.

    Raises:
        PipelineError: a server is named and does not answer; Prefect itself would end in a traceback.
    """
    set_environment()  # here, before Prefect is imported: the flow's own module comes later
    if not os.environ.get("PREFECT_API_URL"):
        print("starting Prefect's embedded server, a quarter of a minute ...", flush=True)
    _need_server()


def _need_server() -> None:
    from httpx import HTTPStatusError
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not (url := PREFECT_API_URL.value()):
        return
    client = get_client({"timeout": ANSWER_S}, sync_client=True)
    error = client.api_healthcheck()
    if error is None or (client.server_type is ServerType.CLOUD and isinstance(error, HTTPStatusError)):
        return  # Prefect Cloud answers, but not to this question
    raise PipelineError(
        "The Prefect server does not answer.",
        where=f"PREFECT_API_URL={url}",
        got=str(error).split("\n")[0] or type(error).__name__,
        expected="a Prefect server",
        fix="start it (prefect server start), or unset PREFECT_API_URL: then one is started for this run alone",
    )
