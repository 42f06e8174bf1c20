"""`ratchet rollout`: staged rollout of a challenger on real requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ratchet.commands.flow_run import run_as_flow

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from ratchet.experiments.rollout import Rollout

app = typer.Typer(no_args_is_help=True, help="A challenger on real requests: shadow, a share, champion.")
Why = Annotated[str, typer.Option(help="The reason, kept for good.")]


@app.command()
def start(
    name: Annotated[str, typer.Option(help="Name of the rollout: small letters, digits, dots, dashes.")],
    challenger: Annotated[Path, typer.Option(help="Folder of its bundle.")],
    why: Why,
    version: Annotated[str, typer.Option(metavar="TAG", help="Its version, where it is released already.")] = "",
) -> None:
    """Begin with the first step."""
    from flows.rollout import flow

    _print(flow.start(Path.cwd(), name, challenger, version, why))


@app.command()
def check(
    key: Annotated[str, typer.Option(metavar="FILE", help="SSH key that signs; by default user.signingKey.")] = "",
) -> None:
    """Look at the current step, and go at most one step.

    It may be repeated as often as one likes, on a schedule too. A rollback is a result, not an error."""

    def begin() -> State[Any]:
        from flows.rollout import flow

        return flow.check(key, return_state=True)

    run_as_flow(begin)


@app.command()
def ask(
    n: Annotated[int, typer.Option(min=1, help="Texts, at most.")] = 100,
    annotators: Annotated[int, typer.Option(min=1, help="People who answer each text.")] = 1,
) -> None:
    """Send people the texts on which the models disagree.

    `ratchet labels pull` brings their answers."""
    from flows.rollout import files

    n_sent, where = files.send_disagreements(Path.cwd(), n, annotators)
    print(f"{n_sent} texts sent to {where}")


@app.command()
def stop(why: Why) -> None:
    """Send the challenger back, by hand."""
    from flows.rollout import flow

    _print(flow.stop(Path.cwd(), why))


def _print(state: Rollout) -> None:
    from flows.rollout.flow import summary

    print(f"{state.status.replace('_', ' ').capitalize()}: {summary(state)}")
