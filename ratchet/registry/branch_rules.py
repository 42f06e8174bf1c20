"""Rules of the protected branch: it only grows, its policy guards itself, its pointer follows its tags."""

from __future__ import annotations

import json

from ratchet.errors import ReleaseError
from ratchet.registry.high_water_mark import check_mark_pointer
from ratchet.registry.names import need_version, policy_subject
from ratchet.registry.policy import read_rules
from ratchet.registry.review_rules import missing_approvals, reviews
from ratchet.registry.view import View, commit_signer


def check_branch(view: View, old: str, new: str) -> None:
    """Check a move of the protected branch.

    Raises:
        ReleaseError: it drops commits, or changes a protected path without the right to.
    """
    if view.repository.kind(new) != "commit":
        raise ReleaseError("A branch must be on a commit.", got=view.repository.kind(new))
    if not view.repository.is_ancestor(old, new):
        raise ReleaseError("The protected branch only grows.", got=new, expected=f"a commit after {old}")
    paths = view.rules.policy.protected_paths()
    touched = [path for path in paths if view.repository.entry(old, path) != view.repository.entry(new, path)]
    if not touched:
        return
    signer = commit_signer(view, new, view.now)
    if signer not in view.rules.policy.change_policy.who:
        raise ReleaseError("The signer may not change a protected path.", where=", ".join(touched), got=signer)
    given = reviews(view, "change_policy", new, new, policy_subject(new))
    if why := missing_approvals(view, "change_policy", given, {signer, *_signers_since(view, old, new)}):
        raise ReleaseError("The approvals do not suffice.", where=", ".join(touched), got=why)
    read_rules(view.repository, new)  # an invalid policy would lock everybody out


def check_pointer(view: View) -> None:
    """Check that the branch's pointers to the champion and to the high-water mark are on those whom the tags name.

    Raises:
        ReleaseError: one is not.
    """
    path = view.rules.policy.paths.champion
    try:
        pointer = json.loads(view.repository.file(view.main, path) or b"")
        bundle, got = pointer["bundle"], pointer.get("manifest_sha256") or ""
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ReleaseError("The pointer to the champion is damaged.", where=path) from None
    held = view.holder("champion")
    expected = view.record(need_version(held[1].version))["manifest_sha256"] if held else ""
    if got != expected or bool(bundle) != bool(held):
        raise ReleaseError(
            "The pointer to the champion is not on the champion.",
            where=path,
            got=got or "none",
            expected=f"{expected}, of {held[1].version}" if held else "none",
            fix="promote or roll back, which moves both",
        )
    check_mark_pointer(view)


def _signers_since(view: View, old: str, new: str) -> set[str]:
    found = set()
    for commit in view.repository.commits(old, new):
        try:
            found.add(commit_signer(view, commit))
        except ReleaseError:
            continue  # an unsigned commit proves nothing about who made it
    return found
