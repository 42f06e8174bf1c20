"""The server's pre-receive hook: refuses a push that violates the registry's rules.

    python -m ratchet.registry.hook [BRANCH] < lines of OLD NEW REF

The program must be the server's own, installed beside its hooks, never that of a branch which is pushed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ratchet.registry.git import OID, Repository
from ratchet.registry.verification import Update, judge_push


def judge_lines(root: Path, lines: Sequence[str], branch: str) -> tuple[int, list[str]]:
    """Exit code, 0 to accept the push and 1 to refuse it, and the messages: every reason."""
    updates = []
    for line in lines:
        words = line.split(" ", 2)
        if len(words) != 3 or not OID.fullmatch(words[0]) or not OID.fullmatch(words[1]):
            return 1, [f"ratchet: this is no update: {line!r}"]
        updates.append(Update(*words))
    refused = judge_push(Repository(root), updates, branch).refused
    return int(bool(refused)), [f"ratchet: refused {ref}: {why}" for ref, why in sorted(refused.items())]


def main() -> int:
    """Judge the updates on standard input; returns the exit code."""
    branch = sys.argv[1] if len(sys.argv) > 1 else "main"
    root = Path(os.environ.get("GIT_DIR", ".")).resolve()
    code, messages = judge_lines(root, sys.stdin.read().splitlines(), branch)
    for line in messages:
        print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
