"""`ratchet monitor`, `reference`, `alerts` and `retrain`: monitoring of production and retraining."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.defaults import MAX_WAIT_DAYS, MAX_WORKERS, MIN_ANSWERED, N_ANNOTATORS
from ratchet.commands.flow_run import SHARE, run_as_flow
from ratchet.errors import PipelineError
from ratchet.monitoring.settings import read_monitor_params

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State


def monitor() -> None:
    """Judge the windows of the prediction log that have ended.

    Each is judged once; what is not as it was becomes an alert."""

    def begin() -> State[Any]:
        from flows.monitoring.flow import monitor as flow

        return flow(return_state=True)

    run_as_flow(begin)


def reference(
    bundle: Annotated[
        str, typer.Option(metavar="FOLDER", help="The model; by default the champion, or the accepted one.")
    ] = "",
) -> None:
    """Make the profile with which production is compared.

    A promotion makes it by itself; this is for another bundle."""
    from flows.labelling.choosing import model_folder
    from flows.reference import FOLDER, reference_of

    root = Path.cwd()
    folder = root / bundle if bundle else model_folder(root)
    made = reference_of(root, folder, read_monitor_params(root))
    print(
        f"{FOLDER / made.version}.safetensors: {int(made.held.sum())} labelled texts, windows of {sorted(made.nulls)}"
    )


def alerts(
    webhook: Annotated[str, typer.Option(metavar="URL", help="Where JSON is posted.")] = "",
    slack: Annotated[str, typer.Option(metavar="URL", help="An incoming webhook of Slack.")] = "",
    apprise: Annotated[
        str, typer.Option(metavar="URL", help="E-mail (mailto://user:pass@host) or whatever else Apprise knows.")
    ] = "",
    test: Annotated[bool, typer.Option("--test", help="Send a test to each address that is set up.")] = False,
) -> None:
    """Set up who is alerted, on the Prefect server.

    Addresses are kept there as secrets. Run again, it replaces what it had set up."""
    import asyncio

    addresses = {kind: url for kind, url in (("webhook", webhook), ("slack", slack), ("apprise", apprise)) if url}
    if not os.environ.get("PREFECT_API_URL"):
        raise PipelineError("Alerts need a server that stays.", fix="set PREFECT_API_URL")
    if not addresses and not test:
        raise PipelineError("No recipient of alerts is named.", fix="name an address: --webhook, --slack or --apprise")
    silent_minutes = read_monitor_params(Path.cwd()).silent_minutes
    from flows.alerts import set_up, test_blocks

    for name in asyncio.run(set_up(addresses, silent_minutes)):
        print(f"set up: {name}")
    answers = asyncio.run(test_blocks()) if test else {}
    for kind, answer in answers.items():
        print(f"{kind}: {answer}")
    if any(answer != "taken" for answer in answers.values()):
        raise typer.Exit(1)


def retrain(
    key: Annotated[str, typer.Option(help="The finding to act on; by default only answers are looked for.")] = "",
    model_version: Annotated[str, typer.Option(metavar="VERSION", help="The model that it was found of.")] = "",
    occurred: Annotated[str, typer.Option(metavar="TIME", help="When it was found, ISO 8601.")] = "",
    n: Annotated[int, typer.Option(min=0, help="Texts to ask about; 0: as live.yaml says.")] = 0,
    min_answered: Annotated[
        float,
        typer.Option(click_type=SHARE, metavar="RATE", help="Share of them that must be decided first, in (0, 1]."),
    ] = MIN_ANSWERED,
    annotators: Annotated[int, typer.Option(min=1, help="People who answer each text.")] = N_ANNOTATORS,
    max_wait_days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Days after which it goes on with what there is.")
    ] = MAX_WAIT_DAYS,
) -> None:
    """Ask people about what drifted; train when they have answered.

    What it trains passes every stage and gate, and waits for `ratchet release`."""

    def begin() -> State[Any]:
        from flows.retraining.flow import retrain as flow

        given = (key, model_version, occurred, n, min_answered, annotators, MAX_WORKERS, max_wait_days)
        return flow(*given, return_state=True)

    run_as_flow(begin)
