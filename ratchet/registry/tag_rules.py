"""Rules of version tags and role tags."""

from __future__ import annotations

import hashlib

from ratchet.errors import ReleaseError
from ratchet.registry.bundle_check import release_folder
from ratchet.registry.high_water_mark import check_compared, mark_of
from ratchet.registry.names import RoleChange, Version, need_version, review_subject
from ratchet.registry.policy import RightName
from ratchet.registry.record import RECORD
from ratchet.registry.review_rules import missing_approvals, reviews
from ratchet.registry.statements import Release, RoleGiven, Tag
from ratchet.registry.view import View, commit_signer, role_statement

RIGHTS: dict[str, tuple[RightName, ...]] = {
    "challenge": ("release",),
    "promote": ("promote",),
    "roll_back": ("roll_back",),
    "archive": ("promote", "roll_back"),
}
"""Action → the rights of which its signer needs one; whoever replaces a champion archives it."""
ROLES = {"challenge": "challenger", "promote": "champion", "roll_back": "champion", "archive": "archived"}


def check_version(view: View, version: Version) -> None:
    """Check a version tag: on the protected branch, by a signer with the right, newer than all before, verified."""
    name = version.tag
    if name in view.checked:
        return
    tag = view.tag(name)
    _check_artifact(view, version.artifact)
    if not isinstance(tag.statement, Release):
        raise ReleaseError("The tag of a version must say `release`.", where=name)
    _check_right(view, RIGHTS["challenge"], tag)
    _check_on_main(view, tag)
    for other in view.versions():
        if other != version and name in view.pushed and other.tag not in view.pushed and other > version:
            raise ReleaseError("A version must be later than all before it.", where=name, got=f"{other.tag} exists")
    view.record(version)
    folder = release_folder(view.rules.policy, version)
    content = view.repository.file(tag.commit, f"{folder}/{RECORD}") or b""
    if hashlib.sha256(content).hexdigest() != tag.statement.record_sha256:
        raise ReleaseError("The tag is about another record.", where=name)
    at = view.now if name in view.pushed else None
    rules = view.rules_of(name)
    if commit_signer(view, tag.commit, at, rules) not in rules.policy.release.who:
        raise ReleaseError("The release commit is not signed by who may release.", where=tag.commit)
    view.checked.add(name)


def check_role(view: View, change: RoleChange) -> None:
    """Check a role tag: in sequence, by a signer with the right, for a verified version, approved by others."""
    name = change.tag
    tag = view.tag(name)
    statement = role_statement(tag)
    _check_artifact(view, change.artifact)
    version = need_version(statement.version)
    if (ROLES[statement.action], statement.role) != (change.role, change.role):
        raise ReleaseError("The tag's role is not that of its statement.", where=name, got=statement.role)
    _check_right(view, RIGHTS[statement.action], tag)
    _check_on_main(view, tag)
    if view.tags.get(version.tag) != statement.version_oid:
        raise ReleaseError("The tag is about another version.", where=name, got=statement.version_oid)
    if view.tag(version.tag).commit != tag.commit:
        raise ReleaseError("A role must be on the commit of its version.", where=name)
    _check_turn(view, change)
    check_version(view, version)
    if statement.role == "champion":
        _check_champion(view, tag, change, version, statement)
    elif statement.role == "archived" and _champion(view, change.number) == version.tag:
        raise ReleaseError("The champion cannot be archived.", where=name, fix="promote another version first")


def _check_artifact(view: View, artifact: str) -> None:
    if artifact != view.rules.policy.artifact:
        raise ReleaseError("The artifact is not the policy's.", got=artifact, expected=view.rules.policy.artifact)


def _check_right(view: View, rights: tuple[RightName, ...], tag: Tag) -> None:
    policy = view.rules_of(tag.name).policy
    if not any(tag.signer in policy.right(right).who for right in rights):
        actions = " or ".join(rights).replace("_", " ")
        raise ReleaseError(f"The signer may not {actions}.", where=tag.name, got=tag.signer)


def _check_on_main(view: View, tag: Tag) -> None:
    if not view.repository.is_ancestor(tag.commit, view.main):
        raise ReleaseError("The commit is not on the protected branch.", where=tag.name, got=tag.commit)


def _check_turn(view: View, change: RoleChange) -> None:
    """Role changes are numbered 1, 2, 3, … without a gap: a missing one was deleted, a second one is a fork."""
    numbers = [other.number for other in view.changes()]
    turn = sum(number < change.number for number in numbers) + 1
    if change.number != turn or numbers.count(change.number) != 1:
        raise ReleaseError("The role change is out of turn.", where=change.tag, expected=f"number {turn}, and once")


def _champion(view: View, before: int) -> str | None:
    """The version's tag that was champion before the change of that number."""
    held = view.holder("champion", before)
    return held[1].version if held else None


def _check_champion(view: View, tag: Tag, change: RoleChange, version: Version, statement: RoleGiven) -> None:
    """The champion was compared with the one it replaces, or was champion before; others approved; the log went on."""
    current = _champion(view, change.number)
    if current == version.tag and not (statement.action == "roll_back" and _resets_mark(view, change, version)):
        raise ReleaseError("The version is the champion already.", where=tag.name)
    earlier = [role_statement(view.tag(other.tag)) for other in view.changes() if other.number < change.number]
    if statement.action == "roll_back":
        if not any(other.action == "promote" and other.version == version.tag for other in earlier):
            raise ReleaseError("Only a former champion can be rolled back to.", where=tag.name, got=version.tag)
    else:
        replaced = view.record(need_version(current))["manifest_sha256"] if current else ""
        if view.record(version)["compared_with"] != replaced:
            raise ReleaseError(
                "The version was not compared with the present champion.",
                where=tag.name,
                got=view.record(version)["compared_with"] or "none",
                expected=replaced or "none",
                fix="run the pipeline against the champion, and release what it accepts",
            )
        check_compared(view, version, change.number)
    if any(other.audit_n > statement.audit_n for other in earlier):
        raise ReleaseError(
            "The audit log was cut since the last promotion.",
            where=tag.name,
            got=statement.audit_n,
            fix="set RATCHET_AUDIT_LOG to the log of all who promote",
        )
    (right,) = RIGHTS[statement.action]
    given = reviews(view, right, change.tag, statement.version_oid, review_subject(version, change))
    if why := missing_approvals(view, right, given, {*view.authors(version), tag.signer}, view.rules_of(tag.name)):
        raise ReleaseError("The approvals do not suffice.", where=tag.name, got=why)


def _resets_mark(view: View, change: RoleChange, version: Version) -> bool:
    """Whether a rollback to the present champion makes it the high-water mark, which another version was."""
    return mark_of(view, change.number) not in (None, version)
