"""`ratchet raw-text` and `ratchet accept-data`: inspecting raw texts, and accepting the data's profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.errors import TableError

RAW, REPORT, PROFILE = Path("data/raw.parquet"), Path("reports/data_profile.json"), Path("data/accepted_profile.json")


def raw_text(key: Annotated[str, typer.Argument(metavar="ID", help="The id of the cleaned text, 16 digits.")]) -> None:
    """Print a text as the source gave it; who looked is logged.

    That is before cleaning, and it may hold personal data. Where personal data was masked it is the masked text."""
    from flows.runner.audit import record
    from ratchet.data.raw_text import raw_texts

    root = Path.cwd()
    found = raw_texts(root / RAW, key)
    if not found:
        raise TableError(
            "No text with this id was changed by cleaning.",
            where=RAW,
            got=key,
            expected="an id of 16 digits",
            fix="look it up in the corpus: what cleaning left alone is there as it came",
        )
    # before it is printed: a raw text may hold what masking took out of the corpus
    record(root, "personal_data", key, {"table": RAW.as_posix(), "n_rows": len(found)})
    for row, text in found.items():
        print(f"row {row}:\n{text}\n")


def accept_data(
    report: Annotated[Path, typer.Option(help="The profile that validate reports.")] = REPORT,
    profile: Annotated[Path, typer.Option(help="The accepted profile, which is overwritten.")] = PROFILE,
) -> None:
    """Accept today's data: validate measures drift against them."""
    from ratchet.data.rules.profiles import accept

    accepted = accept(report, profile)
    print(f"accepted: {sum(accepted['kept_label'].values()):,} labelled rows")
