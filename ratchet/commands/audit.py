"""`ratchet audit`: read the audit log, and check that it is the one that was written."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ratchet.errors import RatchetError, ReleaseError
from ratchet.registry.audit_entry import Entry, Head
from ratchet.registry.audit_log import entries, log_path, verify
from ratchet.registry.git import Repository
from ratchet.registry.statements import RoleGiven

app = typer.Typer(no_args_is_help=True, help="The audit log: who did what, when and why.")
COLUMNS = ("n", "time", "who", "action", "subject", "why", "details", "previous", "sha256")
Log = Annotated[Path | None, typer.Option(help="The log; by default that of the workspace.")]


@app.command()
def show(
    log: Log = None,
    who: Annotated[str, typer.Option(help="Only what this one did.")] = "",
    action: Annotated[str, typer.Option(help="Only this, e.g. promotion.")] = "",
    subject: Annotated[str, typer.Option(help="Only what is about a subject with this in it.")] = "",
    since: Annotated[str, typer.Option(help="Only from this time on: 2026-01-31, or a part of it.")] = "",
    until: Annotated[str, typer.Option(help="Only before this time.")] = "",
    export: Annotated[str, typer.Option(help="jsonl (the lines as they are) or csv; by default for people.")] = "",
) -> None:
    """Print the entries, after the whole chain was verified."""
    found = [
        entry
        for entry in entries(_path(log))
        if who in ("", entry.who)
        and action in ("", entry.action)
        and subject in entry.subject
        and entry.time >= since
        and (not until or entry.time < until)
    ]
    if export == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_cell(entry, name) for name in COLUMNS] for entry in found)
    elif export == "jsonl":
        sys.stdout.write("".join(entry.line().decode() for entry in found))
    elif export:
        raise ReleaseError("There is no such export.", got=export, expected="jsonl or csv")
    else:
        for entry in found:
            details = " ".join(f"{name}={value}" for name, value in sorted(entry.details.items()))
            words = [str(entry.n), entry.time, entry.who, entry.action, entry.subject, details, entry.why]
            print("  ".join(word for word in words if word))


@app.command(name="verify")
def verify_command(
    log: Log = None,
    root: Annotated[Path, typer.Option(help="The clone whose tags hold heads.")] = Path(),
    head: Annotated[list[str] | None, typer.Option(help="A head that was written down: NUMBER:HASH.")] = None,
) -> None:
    """Check the chain, and that every head that a promotion's tag or you wrote down stands in it."""
    given = [_read_head(text) for text in head or []]
    from_tags = tag_heads(root)
    last = verify(_path(log), [*given, *from_tags])
    heads = f"{len(from_tags)} heads of tags and {len(given)} given"
    print(f"verified: {last.n} entries, head {last.n}:{last.sha256}; {heads}")


@app.command(name="head")
def head_command(log: Log = None) -> None:
    """Print the head, to be kept elsewhere."""
    last = verify(_path(log))
    print(f"{last.n}:{last.sha256}")


def tag_heads(root: Path) -> list[Head]:
    """The heads that the signed role tags of a clone hold; none outside of one.

    Raises:
        ReleaseError: a role tag fails verification: then its head cannot be trusted.
    """
    from ratchet.registry.clone import Clone

    clone = Clone(root)
    try:
        clone.trusted()
    except RatchetError:
        return []
    if not any("#" in name for name in Repository(root).refs("refs/tags/")):
        return []
    view = clone.view()
    statements = [view.tag(change.tag).statement for change in view.changes()]
    return [Head(item.audit_n, item.audit_sha256) for item in statements if isinstance(item, RoleGiven)]


def _path(log: Path | None) -> Path:
    return log or log_path(Path())


def _read_head(text: str) -> Head:
    number, _, sha256 = text.partition(":")
    if not number.isdigit() or len(sha256) != 64:
        raise ReleaseError("This is no head.", got=text, expected="NUMBER:HASH, as `ratchet audit head` prints it")
    return Head(int(number), sha256)


def _cell(entry: Entry, name: str) -> str:
    value = getattr(entry, name)
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text[:1] in "=+-@" else text  # a spreadsheet would run it as a formula
