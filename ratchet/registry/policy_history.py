"""The policy of an earlier time: what was released is judged by the rules it was released under.

Who leaves the team leaves the policy, and a key is replaced; what they signed while they were there stays valid, so the
champion can restart. The rules of a tag are those of the protected branch just before the push that brought it. They
count only if every change of policy and keys up to there was made by whom the policy of that time allowed: who smuggles
a policy of their own into the history gains nothing by it. Where that cannot be shown, the present rules count.
A tag that is only being pushed is judged by the present rules in any case.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ratchet.errors import RatchetError, ReleaseError
from ratchet.registry.git import Repository
from ratchet.registry.names import REVIEW, RoleChange, parse_role, parse_version, policy_subject
from ratchet.registry.policy import POLICY, SIGNERS, Rules, read_rules
from ratchet.registry.record import RECORD
from ratchet.registry.signatures import signer_of, split_commit
from ratchet.registry.statements import Review, read_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAMPION_SUBJECT = re.compile(r"[a-z0-9-]+-v[0-9.]+-champion-([0-9]+)")
Identity = tuple[str, ...]
"""Blobs of the policy, of the keys of people and of the keys that sign bundles."""


@dataclass
class PolicyHistory:
    """The rules of the protected branch at each moment of its history."""

    repository: Repository
    main: str
    """Tip of the protected branch."""
    tags: Mapping[str, str]
    """Name → object of all tags."""
    rules: Rules
    """The present rules."""
    _chain: list[str] = field(default_factory=list)
    _trusted: set[Identity] | None = None
    _moves: list[tuple[str, str]] | None = None
    _anchors: dict[str, str | None] = field(default_factory=dict)

    def anchor(self, name: str) -> str | None:
        """The commit whose rules a tag is judged by; None: the present ones."""
        if name not in self._anchors:
            try:
                found = self._anchor(name)
            except RatchetError:  # what cannot be read has no past: it is judged, and refused, by the present rules
                found = None
            self._anchors[name] = found if found and self._is_trusted(found) else None
        return self._anchors[name]

    def rules_at(self, commit: str | None) -> Rules:
        """The rules of an anchor."""
        return read_rules(self.repository, commit) if commit else self.rules

    def _anchor(self, name: str) -> str | None:
        if change := parse_role(name):
            if change.role == "challenger":
                return self._before(self._commit(name))
            number = change.number if change.role == "champion" else change.number - 1
            return self._before(self._pointer_move(number))
        if parse_version(name):
            return self._before(self._commit(name))
        if review := REVIEW.fullmatch(name):
            if found := CHAMPION_SUBJECT.fullmatch(review[2]):
                return self._before(self._pointer_move(int(found[1])))
            return self._before(self._commit(name))
        return None

    def _commit(self, name: str) -> str | None:
        return self.repository.resolve(f"{self.tags[name]}^{{commit}}") if name in self.tags else None

    def _before(self, commit: str | None) -> str | None:
        """The tip of the protected branch before the push that brought a commit; None: it is not on the branch."""
        if commit is None or not self.repository.is_ancestor(commit, self.main):
            return None
        chain = (
            self._chain or self.repository.run("rev-list", "--first-parent", "--reverse", self.main).decode().split()
        )
        self._chain = chain
        low, high = 0, len(chain) - 1
        while low < high:
            middle = (low + high) // 2
            if self.repository.is_ancestor(commit, chain[middle]):
                high = middle
            else:
                low = middle + 1
        return chain[low - 1] if low else None

    def _pointer_move(self, number: int) -> str | None:
        """The commit of the branch that moved the pointer to the champion of a role change."""
        changes = sorted(change for tag in self.tags if (change := parse_role(tag)) and change.role == "champion")
        ours = [change for change in changes if change.artifact == self.rules.policy.artifact]
        moves, place = self._pointer_moves(), 0
        for change in ours:
            wanted = self._manifest(change)
            while place < len(moves) and moves[place][1] != wanted:
                place += 1
            if change.number == number:
                return moves[place][0] if place < len(moves) else None
            place += 1
        return None

    def _pointer_moves(self) -> list[tuple[str, str]]:
        """Commits of the branch that changed the pointer, the oldest first, with the manifest that it then named."""
        if self._moves is None:
            path = self.rules.policy.paths.champion
            listed = self.repository.run("rev-list", "--first-parent", "--reverse", self.main, "--", path)
            self._moves = [(commit, self._pointed(commit, path)) for commit in listed.decode().split()]
        return self._moves

    def _pointed(self, commit: str, path: str) -> str:
        try:
            return str(json.loads(self.repository.file(commit, path) or b"{}").get("manifest_sha256") or "")
        except (ValueError, AttributeError):
            return ""

    def _manifest(self, change: RoleChange) -> str | None:
        """The manifest of the version on whose commit a role tag is, as its record says, unverified."""
        commit = self._commit(change.tag)
        versions = [name for name in self.tags if parse_version(name) and self._commit(name) == commit]
        for version in (parse_version(name) for name in versions):
            folder = f"{self.rules.policy.paths.releases}/v{version.number}" if version else ""
            content = self.repository.file(commit or "", f"{folder}/{RECORD}")
            if content:
                return str(json.loads(content).get("manifest_sha256"))
        return None

    def _is_trusted(self, commit: str) -> bool:
        identity = self._identity(commit)
        return identity is not None and identity in self._trusted_identities()

    def _identity(self, commit: str) -> Identity | None:
        """What a commit says about who counts; None where it says nothing that can be read."""
        try:
            keys = read_rules(self.repository, commit).policy.model_keys
        except ReleaseError:
            return None
        entries = [self.repository.entry(commit, path) for path in (POLICY, SIGNERS, *keys)]
        return tuple(entry.oid if entry else "" for entry in entries)

    def _trusted_identities(self) -> set[Identity]:
        """Policies with their keys that led to the present one by changes that were allowed each."""
        if self._trusted is not None:
            return self._trusted
        paths = [POLICY, SIGNERS, *self.rules.policy.model_keys]
        listed = self.repository.run("rev-list", "--reverse", "--topo-order", "--parents", self.main, "--", *paths)
        trusted: set[Identity] = set()
        first = [words.split() for words in listed.decode().splitlines()]
        origins = [words[0] for words in first if not any(self._has_policy(p) for p in self._parents(words[0]))]
        origins = [commit for commit in origins if self._has_policy(commit)]
        if len(origins) == 1:  # with two, nobody knows which of them is the root of trust
            for commit, *_ in first:
                identity = self._identity(commit)
                if identity is not None and (commit == origins[0] or self._is_allowed(commit, identity, trusted)):
                    trusted.add(identity)
        self._trusted = trusted
        return trusted

    def _parents(self, commit: str) -> list[str]:
        return self.repository.run("rev-list", "--parents", "--max-count=1", commit).decode().split()[1:]

    def _has_policy(self, commit: str) -> bool:
        return self.repository.entry(commit, POLICY) is not None

    def _is_allowed(self, commit: str, identity: Identity, trusted: set[Identity]) -> bool:
        """Whether the rules before a commit allow it, or one after it with the same rules, to change them."""
        if identity in trusted:
            return True
        for parent in self._parents(commit):
            before = self._identity(parent)
            if before is None or before not in trusted:
                continue
            rules = read_rules(self.repository, parent)
            if any(self._is_approved(tip, rules) for tip in [commit, *self._approved_tips(commit, identity)]):
                return True
        return False

    def _approved_tips(self, commit: str, identity: Identity) -> list[str]:
        """Later commits with the same rules that have an approval: people approve the tip of what is pushed."""
        found = []
        for name in self.tags:
            review = REVIEW.fullmatch(name)
            if review and review[2].startswith("policy-"):
                tip = self._commit(name)
                if tip and self._identity(tip) == identity and self.repository.is_ancestor(commit, tip):
                    found.append(tip)
        return list(dict.fromkeys(found))

    def _is_approved(self, tip: str, rules: Rules) -> bool:
        try:
            signer = self._commit_signer(tip, rules)
        except RatchetError:
            return False
        right = rules.policy.change_policy
        if signer not in right.who:
            return False
        counting = set()
        for name in self.tags:
            review = REVIEW.fullmatch(name)
            if review and review[2] == policy_subject(tip):
                try:
                    tag = read_tag(self.repository, name, self.tags[name], rules.signers)
                except RatchetError:
                    continue
                said = tag.statement
                about = isinstance(said, Review) and (said.action, said.subject_oid) == ("change_policy", tip)
                if about and tag.signer == review[3] and tag.signer in right.approvers and tag.signer != signer:
                    if review[1] == "rejection":
                        return False
                    counting.add(tag.signer)
        return len(counting) >= right.approvals

    def _commit_signer(self, commit: str, rules: Rules) -> str:
        payload, signature = split_commit(self.repository.read(commit, "commit"))
        seconds = self.repository.run("show", "--no-patch", "--format=%ct", commit).decode().strip()
        return signer_of(payload, signature, rules.signers, datetime.fromtimestamp(int(seconds), UTC))
