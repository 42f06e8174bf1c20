"""Texts in Git's history: reported, never rewritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flows.forgetting.matching import Forgotten, as_text
from flows.forgetting.places import Place

MAX_BYTES = 50_000_000
"""Larger objects are not looked at: Ratchet refuses to commit files of more than half a megabyte."""


def find_in_history(root: Path, what: Forgotten) -> list[Place]:
    """A place for each path under which some commit, branch, stash or lost object of Git holds a text."""
    paths = _paths(root)
    found: dict[str, int] = {}
    for name, content in _blobs(root):
        text = as_text(content)
        if text is not None and what.in_text(text, names=False):
            path = paths.get(name, "(in no commit)")
            found[path] = found.get(path, 0) + 1
    why = "git filter-repo, in every clone, if the history must lose it"
    return [Place(f"git: {path}", "Git history", n, "report", why) for path, n in sorted(found.items())]


def _paths(root: Path) -> dict[str, str]:
    """Object → a path that it had."""
    lines = _run(root, "rev-list", "--objects", "--all", "--reflog").decode("utf-8", "replace").splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _blobs(root: Path) -> list[tuple[str, bytes]]:
    """Name and content of every file that Git holds."""
    listed = _run(root, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    names = [name for name, kind, size in map(str.split, listed) if kind == "blob" and int(size) <= MAX_BYTES]
    answer = _run(root, "cat-file", "--batch", given="\n".join(names).encode() + b"\n") if names else b""
    found, at = [], 0
    for name in names:
        end = answer.index(b"\n", at)
        size = int(answer[at:end].split()[2])
        found.append((name, answer[end + 1 : end + 1 + size]))
        at = end + 1 + size + 1
    return found


def _run(root: Path, *arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, input=given, capture_output=True, check=False).stdout
