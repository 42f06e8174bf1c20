"""Runs a Prefect flow as a Typer command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click
import typer

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

SHARE = click.FloatRange(0, 1, min_open=True)
"""A rate in (0, 1]."""


def run_as_flow(begin: Callable[[], State[Any]]) -> NoReturn:
    """Run a flow and end the command with its exit code: 0, also for a rejection, 1 for an error, 130 interrupted.

    Args:
        begin: imports the flow, so that nothing else pays for Prefect, and calls it with `return_state=True`.
    """
    from flows.runner.command import announce_start, run_flow

    announce_start()
    raise typer.Exit(run_flow(begin))
