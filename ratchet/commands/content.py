"""What must not be committed: large files, and what looks like a secret.

python -m ratchet.commands.content FILE ...
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ratchet.entry import entry
from ratchet.errors import ReleaseError

MAX_KB = 500
"""Larger ones belong into DVC; text that is looked through is never larger."""
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
"""In a comment on the same line, where something only looks like one."""


def faults(path: Path) -> Iterator[str]:
    """What is wrong with a file, a line each; a secret is named, not shown."""
    size_kb = path.stat().st_size / 1000
    if size_kb > MAX_KB:
        yield f"{path}: {size_kb:.0f} kB, more than {MAX_KB}: `dvc add` it"
        return
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        for name, pattern in SECRETS.items():
            if pattern.search(line + b"\n") and ALLOWED not in line:
                yield f"{path}:{number}: looks like {name}"


def main() -> None:
    """Check the named files."""
    found = [fault for name in sys.argv[1:] if Path(name).is_file() for fault in faults(Path(name))]
    if found:
        raise ReleaseError("This must not be committed.", got="\n" + "\n".join(found))


if __name__ == "__main__":
    entry(main)
