"""`ratchet try`: one technique at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.errors import PipelineError


def try_(
    technique: Annotated[list[str] | None, typer.Argument(help="Techniques; see --list.")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="Every technique there is, one after the other.")] = False,
    list_them: Annotated[bool, typer.Option("--list", help="Name the techniques and what they are.")] = False,
    against: Annotated[str, typer.Option(help="A bundle of the run to compare with. Default: the technique's.")] = "",
    into: Annotated[Path | None, typer.Option(help="Put the table of all trials that ended into this page.")] = None,
) -> None:
    """Try one technique alone: what it changes of what the last run made, in a scratch folder.

    Prints the paired difference on the validation texts with its 95 % interval, seconds, megabytes and latency."""
    from flows.techniques import trials
    from flows.techniques.catalogue import TECHNIQUES, check_names
    from ratchet.reporting.marked_block import write_block

    if list_them:
        print("\n".join(f"{name}: {item.about}" for name, item in TECHNIQUES.items()))
        return
    root, names = Path.cwd(), list(TECHNIQUES) if all_of_them else technique or []
    check_names(names)
    for name in names:
        try:
            print(trials.attempt(root, name, against).text(), flush=True)
        except PipelineError as error:
            if not all_of_them:
                raise
            print(f"{name}: {error}", flush=True)  # one that the task cannot have; the others go on
    if into:
        write_block(into, "techniques-alone", trials.table(trials.records(root)).strip())
    elif not names:
        raise typer.BadParameter("name a technique, or --all; --list names them")
