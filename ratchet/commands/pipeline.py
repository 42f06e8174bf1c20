"""`ratchet run`, `check` and `ablate`: the pipeline, its pre-run checks, and the ablation study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.defaults import MAX_WORKERS
from ratchet.commands.flow_run import run_as_flow

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

Stages = Annotated[list[str] | None, typer.Option(help="This stage and what it needs; may be repeated. Default: all.")]


def run(
    stage: Stages = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the output of the stages as they run.")] = False,
    max_workers: Annotated[int, typer.Option(min=1, help="Stages that may run side by side.")] = MAX_WORKERS,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=10_000, help="Plan the run for so many: params.yaml gets the counts and rungs that fit."
        ),
    ] = None,
) -> None:
    """Bring every stage up to date, and print the verdict."""
    from flows.runner import launch

    if minutes is not None:
        from flows import planning

        planning.apply(Path.cwd(), minutes)
    raise typer.Exit(launch.run(Path.cwd(), stage or [], verbose, max_workers))


def check(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a finding an object.")] = False,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path(),
) -> None:
    """Check everything that can be known before a run, and print it in one list.

    Errors end with exit code 1; nothing is written. A run begins with the same when a stage is stale."""
    from dataclasses import asdict

    from flows.checks import checklist

    found = checklist.find(root.resolve())
    print(json.dumps([asdict(item) for item in found], indent=2) if as_json else checklist.listing(found))
    raise typer.Exit(int(any(item.severity == "error" for item in found)))


def ablate(
    only: Annotated[list[str] | None, typer.Option(help="This composition; may be repeated. Default: all.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Name the compositions and what they change.")] = False,
    into: Annotated[Path | None, typer.Option(help="Put the table of the last search into this page.")] = None,
) -> None:
    """Search the compositions of compression techniques.

    Each is a DVC experiment of some minutes; a search that was stopped carries on."""

    from flows import ablation

    if list_them:
        print("\n".join(f"{name}: {json.dumps(changes)}" for name, changes in ablation.COMPOSITIONS.items()))
        return
    if into:
        ablation.write_into(into, ablation.OUT)
        return
    ablation.check_names(only or [])

    def begin() -> State[Any]:
        return ablation.ablate(only, return_state=True)

    run_as_flow(begin)
