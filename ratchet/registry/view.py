"""The registry as it stands, or as it would stand after a push: its tags, each read and verified once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ratchet.errors import ReleaseError
from ratchet.registry.bundle_check import check_release_commit
from ratchet.registry.git import Repository
from ratchet.registry.names import RoleChange, Version, parse_role, parse_version
from ratchet.registry.policy import Rules
from ratchet.registry.policy_history import PolicyHistory
from ratchet.registry.signatures import signer_of, split_commit
from ratchet.registry.statements import RoleGiven, Tag, read_tag


@dataclass
class View:
    """The registry as it stands, or as it would stand after a push, under the rules that count."""

    repository: Repository
    rules: Rules
    main: str
    """Tip of the protected branch."""
    tags: dict[str, str]
    """Name → object of all tags."""
    pushed: frozenset[str]
    """Those that are only being pushed: their keys must count now, not only then."""
    now: datetime | None
    """The time of the push; None when nothing is pushed."""
    checked: set[str] = field(default_factory=set)
    """Versions that were verified."""
    _read: dict[str, Tag] = field(default_factory=dict)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Verification walks through history.

        Raises:
            ReleaseError: the clone is shallow.
        """
        self.repository.need_whole_history()
        self._history = PolicyHistory(self.repository, self.main, self.tags, self.rules)

    def rules_of(self, name: str) -> Rules:
        """The rules that a tag is judged by: those it was pushed under; the present ones while it is being pushed."""
        return self._history.rules_at(self._anchor(name))

    def _anchor(self, name: str) -> str | None:
        return None if name in self.pushed else self._history.anchor(name)

    def tag(self, name: str) -> Tag:
        """The tag, read and its signature verified once.

        Raises:
            ReleaseError: there is none, or it fails verification in itself.
        """
        if name not in self.tags:
            raise ReleaseError("There is no such tag.", where=name)
        if name not in self._read:
            at = self.now if name in self.pushed else None
            self._read[name] = read_tag(self.repository, name, self.tags[name], self.rules_of(name).signers, at)
        return self._read[name]

    def versions(self) -> list[Version]:
        """All versions of the artifact, the oldest first."""
        found = [version for name in self.tags if (version := parse_version(name))]
        return sorted(version for version in found if version.artifact == self.rules.policy.artifact)

    def changes(self) -> list[RoleChange]:
        """All role changes of the artifact, in their order."""
        found = [change for name in self.tags if (change := parse_role(name))]
        return sorted(change for change in found if change.artifact == self.rules.policy.artifact)

    def holder(self, role: str, before: int | None = None) -> tuple[RoleChange, RoleGiven] | None:
        """The version that has a role, or had it before the change of that number; None where none has.

        Raises:
            ReleaseError: the tag that says so fails verification.
        """
        for change in reversed(self.changes()):
            if change.role == role and (before is None or change.number < before):
                return change, role_statement(self.tag(change.tag))
        return None

    def record(self, version: Version) -> dict[str, Any]:
        """The record of a version, verified once.

        Raises:
            ReleaseError: it fails verification.
        """
        if version.tag not in self._records:
            tag, policy = self.tag(version.tag), self.rules_of(version.tag).policy
            self._records[version.tag] = check_release_commit(
                self.repository, tag.commit, version, policy, self.model_keys(version)
            )
        return self._records[version.tag]

    def model_keys(self, version: Version) -> list[bytes]:
        """The public keys of which one must have signed a version's bundle, as the protected branch had them then."""
        commit = self._anchor(version.tag) or self.main
        keys = [self.repository.file(commit, path) for path in self.rules_of(version.tag).policy.model_keys]
        return [key for key in keys if key is not None]

    def authors(self, version: Version) -> set[str]:
        """Who made a version, by signature: of its tag, its commit, and every signed commit since the version before.

        Raises:
            ReleaseError: the tag or its commit is signed by nobody who is known.
        """
        tag, rules = self.tag(version.tag), self.rules_of(version.tag)
        found = {tag.signer, commit_signer(self, tag.commit, rules=rules)}
        earlier = [other for other in self.versions() if other < version]
        after = self.tag(earlier[-1].tag).commit if earlier else None
        for commit in self.repository.commits(after, tag.commit):
            try:
                found.add(commit_signer(self, commit, rules=rules))
            except ReleaseError:
                continue  # an unsigned commit proves nothing about who made it
        return found


def commit_signer(view: View, commit: str, at: datetime | None = None, rules: Rules | None = None) -> str:
    """Who signed a commit, with a key that counted at that time, by default the commit's own; `rules` has the keys.

    Raises:
        ReleaseError: nobody who is known.
    """
    payload, signature = split_commit(view.repository.read(commit, "commit"))
    if at is None:
        seconds = view.repository.run("show", "--no-patch", "--format=%ct", commit).decode().strip()
        at = datetime.fromtimestamp(int(seconds), UTC)
    return signer_of(payload, signature, (rules or view.rules).signers, at)


def role_statement(tag: Tag) -> RoleGiven:
    """The statement of a tag that gives a role.

    Raises:
        ReleaseError: it does not.
    """
    if not isinstance(tag.statement, RoleGiven):
        raise ReleaseError("The tag of a role must give it.", where=tag.name, got=tag.statement.kind)
    return tag.statement
