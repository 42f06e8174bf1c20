"""Two revisions side by side: what Git has of them, and what DVC has and can get without writing anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ratchet.errors import ReleaseError
from ratchet.registry.git import Repository


@dataclass(frozen=True)
class Revision:
    """A commit of a clone."""

    root: Path
    commit: str

    def json(self, path: str) -> dict[str, Any]:
        """A JSON file of the commit; empty where it is missing or holds no object."""
        try:
            value = json.loads(Repository(self.root).file(self.commit, path) or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def yaml(self, path: str) -> dict[str, Any]:
        """A YAML file of the commit; empty where it is missing or damaged."""
        try:
            value = YAML(typ="safe", pure=True).load(Repository(self.root).file(self.commit, path) or b"{}")
        except YAMLError:
            return {}
        return value if isinstance(value, dict) else {}

    def outputs(self, lock: str) -> dict[str, str]:
        """Output → MD5 that the commit's `dvc.lock` records."""
        stages = self.yaml(lock).get("stages", {})
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", []) if "md5" in out}

    def get(self, path: str, into: Path) -> Path | None:
        """An output as DVC's cache or remote has it; None where neither has. Reading is all this needs."""
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


def find_revision(root: Path, name: str) -> Revision:
    """The commit that a branch, tag or id names.

    Raises:
        ReleaseError: it names none.
    """
    commit = None if name.startswith("-") else Repository(root).resolve(f"{name}^{{commit}}")
    if commit is None:
        raise ReleaseError("There is no such revision.", where=root, got=name, fix="git fetch it")
    return Revision(root, commit)


def dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run DVC in the clone."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def dvc_json(root: Path, *arguments: str) -> dict[str, Any]:
    """What a command of DVC says as JSON.

    Raises:
        ReleaseError: it failed.
    """
    done = dvc(root, *arguments)
    if done.returncode:
        raise ReleaseError(f"`dvc {' '.join(arguments[:2])}` failed.", where=root, got=done.stderr.strip()[-1000:])
    value = json.loads(done.stdout or "{}")
    return value if isinstance(value, dict) else {}
