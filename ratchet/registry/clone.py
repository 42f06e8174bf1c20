"""Making commits and tags in a clone, natively and signed, and pushing them whole or not at all.

Commits are made beside the working tree, so that a push that is refused leaves it as it was.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ratchet.errors import ReleaseError
from ratchet.registry.git import NO_OBJECT, Repository
from ratchet.registry.names import RESERVED
from ratchet.registry.policy import Rules, read_rules
from ratchet.registry.statements import AnyStatement, message
from ratchet.registry.verification import TAGS, Update, judge_push, verify_clone
from ratchet.registry.view import View


@dataclass(frozen=True)
class Clone:
    """A clone whose protected branch is checked out, and the key that signs in it."""

    root: Path
    branch: str = "main"
    remote: str = "origin"
    key: str = ""
    """Private or public key file for SSH signing; empty: `user.signingKey` of Git."""

    @property
    def repository(self) -> Repository:
        """The clone, to be read."""
        return Repository(self.root)

    def git(self, *arguments: str, stdin: str = "", extra: Mapping[str, str] | None = None) -> str:
        """Run Git as the user has configured it.

        Raises:
            ReleaseError: it failed.
        """
        signing = ["-c", "gpg.format=ssh", *(["-c", f"user.signingKey={self.key}"] if self.key else [])]
        done = subprocess.run(
            ["git", *signing, *arguments],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(extra or {})},
            check=False,
        )
        if done.returncode:
            raise ReleaseError(f"`git {arguments[0]}` failed.", where=self.root, got=done.stderr.strip())
        return done.stdout.strip()

    def fetch(self) -> None:
        """Fetch, and drop the registry's tags that the remote has not got.

        A release pushes its tags in one step; what is here alone is left of one that was killed before, and would be
        counted as if it had been pushed.
        """
        self.git("fetch", "--quiet", "--tags", self.remote)
        here = {name.removeprefix(TAGS) for name in self.repository.refs(TAGS)}
        ours = {name for name in here if RESERVED.search(name)}
        for name in sorted(ours - self.remote_tags()) if ours else []:
            self.git("tag", "--delete", name)

    def remote_tags(self) -> set[str]:
        """Names of the remote's tags.

        Raises:
            ReleaseError: the remote does not answer.
        """
        listed = self.git("ls-remote", "--quiet", "--tags", "--refs", self.remote)
        return {line.split("\t")[1].removeprefix(TAGS) for line in listed.splitlines()}

    def catch_up(self) -> None:
        """Move the checked-out branch to the remote's tip where the last commits are the registry's own.

        A release that was killed after its push left the branch behind; anything else is left to people.
        """
        tip = self.repository.resolve(f"refs/remotes/{self.remote}/{self.branch}")
        head = self.repository.resolve(f"refs/heads/{self.branch}")
        if tip is None or head is None or head == tip or not self.repository.is_ancestor(head, tip):
            return
        policy = self.rules().policy
        own = (policy.paths.champion, policy.paths.high_water_mark, f"{policy.paths.releases}/")
        changed = self.repository.changed(head, tip)
        is_ours = all(path in own[:2] or path.startswith(own[2]) for path in changed)
        if is_ours and self.git("symbolic-ref", "--quiet", "HEAD") == f"refs/heads/{self.branch}":
            self.git("merge", "--quiet", "--ff-only", tip)

    def update(self) -> str:
        """Fetch; returns the tip of the protected branch, which must be checked out as the remote has it.

        Raises:
            ReleaseError: the clone is on something else.
        """
        self.fetch()
        tip = self.repository.resolve(f"refs/remotes/{self.remote}/{self.branch}")
        self.catch_up()
        head = self.git("symbolic-ref", "--quiet", "HEAD")
        if tip is None or head != f"refs/heads/{self.branch}" or self.repository.resolve("HEAD") != tip:
            raise ReleaseError(
                "The clone is not on the protected branch as the remote has it.",
                where=self.root,
                got=head,
                expected=f"{self.remote}/{self.branch}",
                fix=f"git switch {self.branch} && git pull --ff-only",
            )
        return tip

    def rules(self) -> Rules:
        """The policy and keys of the remote's protected branch.

        Raises:
            ReleaseError: there are none.
        """
        return read_rules(self.repository, self.trusted())

    def trusted(self) -> str:
        """The commit whose policy counts: the protected branch of the remote; of a bare repository, its own.

        Raises:
            ReleaseError: there is none.
        """
        for name in (f"refs/remotes/{self.remote}/{self.branch}", f"refs/heads/{self.branch}"):
            if tip := self.repository.resolve(name):
                return tip
        raise ReleaseError("There is no protected branch.", where=self.root, expected=self.branch)

    def view(self) -> View:
        """The registry as this clone has it; each tag is verified when it is read."""
        return View(
            self.repository,
            self.rules(),
            self.trusted(),
            {name.removeprefix(TAGS): oid for name, oid in self.repository.refs(TAGS).items()},
            frozenset(),
            None,
        )

    def verification_failures(self, pushed: frozenset[str] = frozenset()) -> dict[str, str]:
        """Tag → reason, of the tags that fail verification; `pushed` are the tags that have just come."""
        return verify_clone(self.repository, self.trusted(), pushed)[1]

    def commit(self, parent: str, files: Mapping[str, bytes], text: str) -> str:
        """A signed commit that sets these files; no branch moves, and no file of the working tree."""
        with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            self.git("read-tree", parent, extra=index)
            for path, content in files.items():
                oid = self.repository.run("hash-object", "-w", "--stdin", stdin=content).decode().strip()
                self.git("update-index", "--add", "--cacheinfo", f"100644,{oid},{path}", extra=index)
            tree = self.git("write-tree", extra=index)
        return self.git("commit-tree", "-S", "-p", parent, "-F", "-", tree, stdin=text)

    def tag(self, name: str, commit: str, summary: str, statement: AnyStatement) -> str:
        """A signed tag; its object."""
        text = message(summary, statement)
        self.git("tag", "--sign", "--cleanup=verbatim", "-F", "-", name, commit, stdin=text)
        return self.repository.resolve(f"{TAGS}{name}") or ""

    @contextmanager
    def tags_undone_on_failure(self, names: Sequence[str]) -> Iterator[None]:
        """Remove these new tags from the clone when the block fails and the remote does not have them.

        Raises:
            ReleaseError: one of them exists already.
        """
        if existing := [name for name in names if self.repository.resolve(f"{TAGS}{name}")]:
            raise ReleaseError("The tag exists already.", where=self.root, got=", ".join(existing))
        try:
            yield
        except BaseException:
            made = [name for name in names if self.repository.resolve(f"{TAGS}{name}")]
            try:
                pushed = self.remote_tags() if made else set()
            except ReleaseError:
                pushed = set(made)  # nobody knows; the next fetch drops what the remote has not got
            for name in set(made) - pushed:
                self.git("tag", "--delete", name)
            raise

    def push(self, tags: Iterable[str], tip: str | None = None) -> None:
        """Judge as the server will, push all at once, and bring the working tree to the new tip.

        Raises:
            ReleaseError: the push would be, or was, refused.
        """
        old, main = self.trusted(), f"refs/heads/{self.branch}"
        updates = [Update(NO_OBJECT, self.repository.resolve(f"{TAGS}{name}") or "", f"{TAGS}{name}") for name in tags]
        updates += [Update(old, tip, main)] if tip else []
        if refused := judge_push(self.repository, updates, self.branch, old).refused:
            raise ReleaseError("\n".join(f"{ref}: {why}" for ref, why in refused.items()))
        self.git("push", "--quiet", "--atomic", self.remote, *(f"{update.new}:{update.ref}" for update in updates))
        if tip:
            self.git("update-ref", f"refs/remotes/{self.remote}/{self.branch}", tip)
            self.git("merge", "--quiet", "--ff-only", tip)
