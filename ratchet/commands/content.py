"""`ratchet content`: a check against committing large files and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ratchet.errors import ReleaseError

MAX_KB = 500
"""Largest file for Git, in kilobytes: larger ones belong into DVC."""
SECRETS = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s"),
    "a token of GitHub": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{50,})"),
    "a token of GitLab": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20}"),
    "a key of AWS": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of Slack": re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a token of a model hub": re.compile(rb"\bhf_[A-Za-z0-9]{34}\b"),
    "a password in an address": re.compile(rb"://[^/\s:@'\"{}$<]+:[^/\s@'\"{}$<]{6,}@[A-Za-z0-9]"),
}
ALLOWED = b"no secret"
"""Marker of a false positive, in a comment on the same line."""


def problems(path: Path) -> Iterator[str]:
    """Problems of a file that is to be committed, a line each; a secret is named, not shown."""
    size_kb = path.stat().st_size / 1000
    if size_kb > MAX_KB:
        yield f"{path}: {size_kb:.0f} kB, more than {MAX_KB}: `dvc add` it"
        return
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        for name, pattern in SECRETS.items():
            if pattern.search(line + b"\n") and ALLOWED not in line:
                yield f"{path}:{number}: looks like {name}"


def content(files: Annotated[list[Path], typer.Argument(help="Files; what is none, is left out.")]) -> None:
    """Refuse large files, and what looks like a secret.

    The hook before a commit runs it."""
    found = [problem for path in files if path.is_file() for problem in problems(path)]
    if found:
        raise ReleaseError("This must not be committed.", got="\n" + "\n".join(found))
