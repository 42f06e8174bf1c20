"""A flow run from the command line: what it says at its start and its end, and its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ratchet.errors import PipelineError, RatchetError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

STOPPED = "stopped; the same command carries on from here"


def run_flow(begin: Callable[[], State[Any] | str]) -> int:
    """Run a flow and say how it ended; the exit code: 0, also for a rejection, 1 for an error, 130 when interrupted.

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


def say_start() -> None:
    """Say why nothing happens for a while, where Prefect has to start a server of its own."""
    if not os.environ.get("PREFECT_API_URL"):
        print("starting Prefect's embedded server, a quarter of a minute ...", flush=True)
