"""`ratchet verify`: whether a release's verdict holds on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.errors import ReleaseError


def verify(
    release: Annotated[
        str, typer.Argument(help="A version (tickets@v1.2.0, 1.2.0), a role (champion), or high_water_mark.")
    ],
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
    threads: Annotated[int, typer.Option(min=0, help="Threads of inference; 0: one a core.")] = 0,
) -> None:
    """Score a release again on this CPU, decide again without training, and say whether the verdict is the same.

    Fetches the signed bundle and its predictions of the sealed test. The row of this kind of CPU goes to
    reports/cpu_kinds.json, to be committed.
    """
    from flows.verification import verify as run

    told, reproduced = run(root, release, threads)
    print("\n".join(told))
    if not reproduced:
        raise ReleaseError(
            "The verdict is not the same on this machine.",
            where=release,
            fix="release a bundle of another engine, or serve it on a CPU of reports/cpu_kinds.json that reproduces it",
        )
