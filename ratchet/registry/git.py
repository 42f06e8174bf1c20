"""Git objects read as they are: no replacements, no grafts, no configuration of the user that changes them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ratchet.errors import ReleaseError

NO_OBJECT = "0" * 40
OID = re.compile(r"[0-9a-f]{40}")
QUARANTINE = {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"}
"""Variables by which a hook finds the objects of a push not yet accepted; all other GIT_ variables are dropped."""


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Repository:
    """A clone or a bare repository, read by object id."""

    root: Path

    def run(self, *arguments: str, stdin: bytes = b"", ok: Sequence[int] = (0,)) -> bytes:
        """Output of a Git command.

        Raises:
            ReleaseError: it ended with another exit code.
        """
        done = self._git(*arguments, stdin=stdin)
        if done.returncode not in ok:
            raise ReleaseError(
                f"`git {arguments[0]}` failed.", where=self.root, got=done.stderr.decode(errors="replace").strip()
            )
        return done.stdout

    def need_whole_history(self) -> None:
        """Refuse a shallow clone: the authors of what was cut off are unknown, and their own approvals would count.

        Grafts and replacements, the other ways to cut a history, are never read (see `environment`).

        Raises:
            ReleaseError: the history ends where the clone was cut.
        """
        if self.run("rev-parse", "--is-shallow-repository").strip() != b"false":
            raise ReleaseError(
                "The clone is shallow: its history was cut, so the authors are unknown.",
                where=self.root,
                expected="the whole history",
                fix="fetch the history: git fetch --unshallow --tags (in CI: fetch-depth 0, GIT_DEPTH 0)",
            )

    def resolve(self, name: str) -> str | None:
        """The object a full ref name or an object id stands for; None where there is none.

        Raises:
            ReleaseError: Git cannot tell, which must not be taken for none.
        """
        found = self.run("rev-parse", "--verify", "--quiet", name, ok=(0, 1)).decode().strip()
        return found if OID.fullmatch(found) else None

    def kind(self, oid: str) -> str:
        """commit, tag, tree or blob; empty where there is no such object."""
        return self.run("cat-file", "-t", _checked(oid), ok=(0, 128)).decode().strip()

    def read(self, oid: str, kind: str) -> bytes:
        """The bytes of an object."""
        return self.run("cat-file", kind, _checked(oid))

    def refs(self, prefix: str) -> dict[str, str]:
        """Full ref name → object id of the refs under a prefix, the tag object itself for a tag."""
        lines = self.run("for-each-ref", "--format=%(objectname) %(refname)", prefix).decode().splitlines()
        return {name: oid for oid, name in (line.split(" ", 1) for line in lines)}

    def entry(self, commit: str, path: str) -> Blob | None:
        """The mode and id of a path of a commit, file or folder; None where there is none."""
        listed = self.run("ls-tree", "-z", "--full-tree", _checked(commit), "--", path.rstrip("/")).decode()
        if not listed:
            return None
        mode, _, oid = listed.partition("\t")[0].split(" ")
        return Blob(mode, oid)

    def file(self, commit: str, path: str) -> bytes | None:
        """The bytes of a plain file of a commit; None where there is none, or where it is a link or a folder."""
        found = self.entry(commit, path)
        return self.read(found.oid, "blob") if found and found.mode in ("100644", "100755") else None

    def changed(self, before: str, after: str) -> list[str]:
        """Paths that differ between two commits."""
        listed = self.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", _checked(before), _checked(after))
        return [path for path in listed.decode(errors="surrogateescape").split("\0") if path]

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `of` is the commit or comes after it."""
        return not self._git("merge-base", "--is-ancestor", _checked(commit), _checked(of)).returncode

    def commits(self, after: str | None, to: str) -> list[str]:
        """The commits that `to` has and `after` has not, newest first."""
        excluded = [f"^{_checked(after)}"] if after else []
        return self.run("rev-list", _checked(to), *excluded).decode().split()

    def _git(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        trusted = [f"safe.directory={folder}" for folder in _safe_directories(*_configuration())]
        options = [word for value in ("core.commitGraph=false", *trusted) for word in ("-c", value)]
        command = ["git", "--no-replace-objects", *options, *arguments]
        return subprocess.run(command, cwd=self.root, input=stdin, capture_output=True, env=environment(), check=False)


def environment() -> dict[str, str]:
    """The environment of Git: no configuration but the repository's own, no object store but the real ones.

    Of the user's configuration only `safe.directory` counts, which `Repository` hands on.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name in QUARANTINE}
    fixed = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    return {**kept, **fixed, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}


def _configuration() -> tuple[tuple[str, str], ...]:
    """The variables that say which configuration Git reads."""
    names = [name for name in os.environ if name.startswith("GIT_CONFIG") or name in ("HOME", "XDG_CONFIG_HOME")]
    return tuple((name, os.environ[name]) for name in sorted(names))


@cache
def _safe_directories(*configuration: tuple[str, str]) -> list[str]:
    """The `safe.directory` entries of the user's and the machine's configuration.

    Of all that is configured only this is taken: it says whom the user trusts, and nothing of what Git then finds. It
    is asked for at the root folder, so that no repository has a say.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "config", "--null", "--get-all", "safe.directory"],
        cwd="/",
        capture_output=True,
        env={**kept, **dict(configuration)},
        check=False,
    )
    return os.fsdecode(done.stdout).split("\0")[:-1]


def _checked(oid: str) -> str:
    if not OID.fullmatch(oid):
        raise ReleaseError("This is no object id.", got=oid, expected="40 hexadecimal digits")
    return oid
