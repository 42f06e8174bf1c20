"""Revisions to compare: files from Git, outputs from DVC's cache or remote, without writing anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ratchet.errors import ReleaseError
from ratchet.registry.git import Repository

WORKSPACE = "the working tree"


@dataclass(frozen=True)
class Revision:
    """A commit of a clone, or its working tree."""

    root: Path
    commit: str
    """Empty for the working tree."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Today's path → the path that this revision has, of the files of Git that were renamed since."""

    @property
    def label(self) -> str:
        """Display name."""
        return self.commit[:10] or WORKSPACE

    def file(self, path: str) -> bytes | None:
        """A file of Git, under its present or its former path; None where there is none."""
        for name in dict.fromkeys((path, self.renamed.get(path, path))):
            if self.commit:
                content = Repository(self.root).file(self.commit, name)
            else:
                content = (self.root / name).read_bytes() if (self.root / name).is_file() else None
            if content is not None:
                return content
        return None

    def json(self, path: str) -> dict[str, Any]:
        """A JSON file; empty where it is missing or holds no object."""
        try:
            value = json.loads(self.file(path) or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def yaml(self, path: str) -> dict[str, Any]:
        """A YAML file, not to be changed; empty where it is missing or damaged."""
        return _parsed(self.file(path) or b"{}")

    def outputs(self, lock: str) -> dict[str, str]:
        """Output → MD5 that the revision's `dvc.lock` records."""
        stages = self.yaml(lock).get("stages", {})
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}

    def get(self, path: str, into: Path) -> Path | None:
        """An output as the tree, DVC's cache or its remote has it; None where none has. Reading is all this needs."""
        if not self.commit:
            return self.root / path if (self.root / path).exists() else None
        target = into / self.commit / path
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [
            "get",
            "--quiet",
            "--force",
            "--rev",
            self.commit,
            str(self.root.resolve()),
            path,
            "--out",
            str(target),
        ]
        return target if dvc(self.root, *command).returncode == 0 else None


@lru_cache(maxsize=8)
def _parsed(text: bytes) -> dict[str, Any]:
    """A lock of a hundred kilobytes takes a second to parse, and every section of a review asks for it."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def find_revision(root: Path, name: str) -> Revision:
    """The commit that a branch, tag or id names.

    Raises:
        ReleaseError: it names none.
    """
    commit = None if name.startswith("-") else Repository(root).resolve(f"{name}^{{commit}}")
    if commit is None:
        raise ReleaseError("There is no such revision.", where=root, got=name, fix="git fetch it")
    return Revision(root, commit)


def find_revisions(root: Path, base: str, head: str | None) -> tuple[Revision, Revision]:
    """The revision before, which knows what was renamed since, and the one after; without `head` the working tree.

    Raises:
        ReleaseError: a name is no revision's.
    """
    before = find_revision(root, base)
    after = find_revision(root, head) if head is not None else Revision(root, "")
    return replace(before, renamed=renames(root, before.commit, after.commit)), after


def renames(root: Path, before: str, after: str) -> dict[str, str]:
    """Path after → path before of the files that Git takes for renamed: a third of their lines is the same."""
    revisions = [before, after] if after else [before]
    options = ("--name-status", "--find-renames=33%", "--diff-filter=R", "-z")
    parts = Repository(root).run("diff", *options, *revisions, "--").decode("utf-8", "replace").split("\0")
    return dict(zip(parts[2::3], parts[1::3], strict=False))


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in the clone."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def dvc_json(root: Path, *arguments: str) -> dict[str, Any]:
    """JSON output of a DVC command.

    Raises:
        ReleaseError: it failed.
    """
    done = dvc(root, *arguments)
    if done.returncode:
        raise ReleaseError(f"`dvc {' '.join(arguments[:2])}` failed.", where=root, got=done.stderr.strip()[-1000:])
    value = json.loads(done.stdout or "{}")
    return value if isinstance(value, dict) else {}
