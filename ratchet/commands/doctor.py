"""`ratchet doctor`: diagnosis of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Hash large objects of DVC's cache, too.")] = False,
    root: Annotated[Path, typer.Option(help="The repository.")] = Path(),
) -> None:
    """Check stores, cache, pointers, locks and hooks, and say what to do.

    Nothing is changed. Damage ends with exit code 1."""
    from flows.checks.checklist import listing
    from flows.checks.doctor import examine

    found = examine(root.resolve(), deep)
    print(listing(found))
    raise typer.Exit(int(any(item.severity == "error" for item in found)))
