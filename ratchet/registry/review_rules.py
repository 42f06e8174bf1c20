"""Rules of reviews: a review counts if an approver signed it, for exactly this subject, and is not its author."""

from __future__ import annotations

import re

from ratchet.errors import RatchetError, ReleaseError
from ratchet.registry.names import REVIEW, parse_role, policy_subject, review_subject
from ratchet.registry.policy import RightName, Rules
from ratchet.registry.statements import Review
from ratchet.registry.view import View


def check_review(view: View, found: re.Match[str]) -> None:
    """A review is signed by the one whose name it bears, who may give it, under the name of what it is about."""
    name = found[0]
    tag = view.tag(name)
    statement = tag.statement
    if not isinstance(statement, Review) or statement.kind != found[1] or tag.signer != found[3]:
        raise ReleaseError("The review is not by the one whose name it bears.", where=name, got=tag.signer)
    if tag.signer not in view.rules_of(name).policy.right(statement.action).approvers:
        raise ReleaseError("The signer may not approve or reject this.", where=name, got=tag.signer)
    if statement.action == "change_policy":
        if found[2] != policy_subject(statement.subject_oid) or tag.commit != statement.subject_oid:
            raise ReleaseError("The review is about another commit.", where=name)
        return
    change = parse_role(statement.subject)
    version = next((item for item in view.versions() if view.tags[item.tag] == statement.subject_oid), None)
    if change is None or version is None or found[2] != review_subject(version, change):
        raise ReleaseError("The review is about something else than its name says.", where=name)
    if change.role != "champion" or tag.commit != view.tag(version.tag).commit:
        raise ReleaseError("The review is not on the version that it is about.", where=name)
    if name in view.pushed and view.now is not None and change.tag in set(view.tags) - view.pushed:
        raise ReleaseError("The role was given already.", where=name, got=change.tag)


def reviews(view: View, action: str, subject: str, subject_oid: str, review_name: str) -> dict[str, str]:
    """Approver → approval or rejection, of exactly this; a rejection outweighs an approval."""
    found: dict[str, str] = {}
    for name in view.tags:
        match = REVIEW.fullmatch(name)
        if not match or match[2] != review_name:
            continue
        try:
            check_review(view, match)
        except RatchetError:
            continue  # an invalid review counts for nothing
        statement = view.tag(name).statement
        about = (statement.action, statement.subject, statement.subject_oid) if isinstance(statement, Review) else None
        if about == (action, subject, subject_oid) and found.get(match[3]) != "rejection":
            found[match[3]] = match[1]
    return found


def missing_approvals(
    view: View, action: RightName, given: dict[str, str], authors: set[str], rules: Rules | None = None
) -> str:
    """Reason why the reviews do not suffice; empty when they do. An author's own approval does not count.

    `rules` are those of the time of the change; by default the present ones.
    """
    right = (rules or view.rules).policy.right(action)
    if rejecting := sorted(name for name, kind in given.items() if kind == "rejection"):
        return f"rejected by {', '.join(rejecting)}"
    counting = sorted(name for name, kind in given.items() if kind == "approval" and name not in authors)
    if len(counting) < right.approvals:
        own = sorted(set(given) & authors)
        note = f"; {', '.join(own)} made it and does not count" if own else ""
        return f"{len(counting)} of {right.approvals} approvals{note}"
    return ""
