"""`ratchet forget`: take back what was said about a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ratchet.errors import PipelineError

if TYPE_CHECKING:
    from flows.forgetting.places import Place


def forget(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of texts, masked or not.")] = None,
    matching: Annotated[str, typer.Option(metavar="PATTERN", help="Texts that this regular expression finds.")] = "",
    file: Annotated[Path | None, typer.Option(metavar="LIST", help="A file with an id a line.")] = None,
    scores: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Of ratchet score, outside this clone; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without, only list where they lie.")] = False,
) -> None:
    """Remove texts for good: from tables, labels, queues, logs, DVC's cache and remotes.

    Lists every place first. Hashes stay in data/forgotten.json and keep the texts out; Git's history is only reported.
    Killed midway, the same command carries on."""
    from flows.forgetting import steps
    from flows.forgetting.matching import read_list

    root = Path.cwd()
    layout = steps.open_layout(root, scores or [])
    named = [*(ids or []), *(read_list(file.read_text(encoding="utf-8").splitlines()) if file else [])]
    request = steps.unfinished(root)
    if request is not None:
        print("A removal that was begun here is carried on; give the command again for others.")
    elif not named and not matching:
        raise PipelineError("Nothing is named.", expected="ids, --matching or --file")
    else:
        request = steps.resolve(layout, named, matching)
    print(f"{len(request.texts)} texts, {len(request.ids)} ids")
    if n_short := request.what.n_short:
        print(f"{n_short} of them are too short to be recognised where a file quotes them without their id")
    _list(steps.survey(layout, request))
    if request.bundles:
        print(f"to train again, for they learned from them: {', '.join(request.bundles)}")
    if not yes:
        print("Nothing was removed: --yes removes it.")
        return
    for line in steps.carry_out(layout, request):
        print(line)
    left = steps.survey(layout, request)
    print("left:" if left else "nothing is left")
    _list(left)
    if missed := [place.where for place in left if place.action != "report"]:
        raise PipelineError("A place still holds a text.", where=", ".join(missed), fix="the same command again")
    print("Next: make run; commit data/forgotten.json; dvc push.")


def _list(places: list[Place]) -> None:
    for place in places:
        tail = f": {place.why}" if place.why else ""
        print(f"  {place.action:<8} {place.where} ({place.what}, {place.n}){tail}")
