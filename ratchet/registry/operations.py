"""Release operations: propose, approve or reject, promote, roll back. Each is one atomic push."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from ratchet.errors import ReleaseError
from ratchet.models.bundle import MANIFEST, read_manifest
from ratchet.registry.audit_entry import Head
from ratchet.registry.bundle_check import check_decision, check_measurements, folder_md5, release_folder
from ratchet.registry.clone import Clone
from ratchet.registry.high_water_mark import mark_of, mark_pointer, next_mark
from ratchet.registry.model_signature import sign_bundle
from ratchet.registry.names import RoleChange, Version, need_version, policy_subject, review_subject
from ratchet.registry.policy import Policy, RightName
from ratchet.registry.provenance import make_statement, sign_statement
from ratchet.registry.record import (
    BUNDLE,
    CARD,
    MEASUREMENTS,
    PROVENANCE,
    RECORD,
    SBOM,
    SIGNATURE,
    bundle_metrics,
    data_hashes,
    make_record,
    read_measured,
)
from ratchet.registry.review_rules import missing_approvals, reviews
from ratchet.registry.sbom import make_sbom
from ratchet.registry.statements import Release, Review, RoleGiven
from ratchet.registry.view import View, role_statement

CHAMPION_FOLDER = "champion"


def propose(clone: Clone, version: Version, model_key: Path, why: str, head: Head) -> RoleChange:
    """Make a version of what the checked-out commit's decision chose, and its challenger; the role change.

    Raises:
        ReleaseError: nothing was accepted, something lacks or differs, or the push was refused.
    """
    tip, view = clone.update(), clone.view()
    files = _release_files(clone, tip, version, model_key)
    commit = clone.commit(tip, files, f"Release {version.tag}\n\n{why}\n")
    change = _next(view, "challenger")
    names = [version.tag, change.tag]
    with clone.tags_undone_on_failure(names):
        record = files[f"{release_folder(view.rules.policy, version)}/{RECORD}"]
        statement = Release(tag=version.tag, why=why, record_sha256=hashlib.sha256(record).hexdigest())
        oid = clone.tag(version.tag, commit, f"Release {version.tag}", statement)
        _assign_role(clone, change, "challenge", version, (oid, commit), why, head)
        clone.push(names, commit)
    return change


def review(clone: Clone, kind: Literal["approval", "rejection"], person: str, subject: str, why: str) -> str:
    """Approve or reject that a version becomes champion next, or a commit that changes what is protected; the tag.

    Args:
        clone: where.
        kind: which of the two.
        person: the signer's name, as the keys have it.
        subject: a version's tag, or the commit.
        why: the reason.

    Raises:
        ReleaseError: the signer may not, or the push was refused.
    """
    clone.fetch()
    view = clone.view()
    if "@" in subject:
        version = need_version(subject)
        change, tag = next_champion(view), view.tag(version.tag)
        action: RightName = "roll_back" if version.tag in _former_champions(view) else "promote"
        about, oid, commit, name = change.tag, tag.oid, tag.commit, review_subject(version, change)
    else:
        commit = clone.git("rev-parse", "--verify", f"{subject}^{{commit}}")
        action, about, oid, name = "change_policy", commit, commit, policy_subject(commit)
    tag_name = f"{kind}/{name}/{person}"
    statement = Review(tag=tag_name, why=why, kind=kind, action=action, subject=about, subject_oid=oid)  # type: ignore[arg-type]
    with clone.tags_undone_on_failure([tag_name]):
        clone.tag(tag_name, commit, f"{kind.capitalize()} of {about}", statement)
        clone.push([tag_name])
    return tag_name


def promotion_blockers(view: View, version: Version) -> str:
    """Reason why a version cannot become champion next; empty when its approvals suffice."""
    change, tag = next_champion(view), view.tag(version.tag)
    given = reviews(view, "promote", change.tag, tag.oid, review_subject(version, change))
    return missing_approvals(view, "promote", given, view.authors(version))


def promote(clone: Clone, version: Version, why: str, head: Head) -> RoleChange:
    """Make a version the champion, and archive the one before it; the role change.

    Raises:
        ReleaseError: it fails verification, was not compared with the champion and the high-water mark, or lacks
            approvals.
    """
    return _promote_to_champion(clone, version, "promote", why, head)


def roll_back(clone: Clone, why: str, head: Head, to: Version | None = None) -> RoleChange:
    """Make an earlier champion the champion again, by default the one before; the role change.

    The champion itself, where another version is the high-water mark, becomes the mark.

    Raises:
        ReleaseError: there was none before, or the signer may not.
    """
    return _promote_to_champion(clone, rollback_target(clone.view(), to), "roll_back", why, head)


def rollback_target(view: View, to: Version | None = None) -> Version:
    """The version that a rollback makes the champion: `to`, by default the champion before.

    Raises:
        ReleaseError: there was none before.
    """
    held = view.holder("champion")
    earlier = [name for name in _former_champions(view) if held and name != held[1].version]
    if to is None and not earlier:
        raise ReleaseError("There is no earlier champion to roll back to.", got=held[1].version if held else "none")
    return to or need_version(earlier[-1])


def next_champion(view: View) -> RoleChange:
    """The role change that will assign the next champion; reviews refer to this one and no other."""
    return _next(view, "champion")


def _promote_to_champion(
    clone: Clone, version: Version, action: Literal["promote", "roll_back"], why: str, head: Head
) -> RoleChange:
    tip, view = clone.update(), clone.view()
    held, tag, record = view.holder("champion"), view.tag(version.tag), view.record(version)
    folder = f"{view.rules.policy.paths.models}/{CHAMPION_FOLDER}"
    pointer = {"bundle": folder, "manifest_sha256": record["manifest_sha256"], "version": version.tag}
    files = {view.rules.policy.paths.champion: (json.dumps(pointer, indent=2, sort_keys=True) + "\n").encode()}
    if path := view.rules.policy.paths.high_water_mark:
        before = need_version(held[1].version) if held else None
        files[path] = mark_pointer(view, next_mark(view, action, version, mark_of(view), before))
    verb = "Promote" if action == "promote" else "Roll back to"
    commit = clone.commit(tip, files, f"{verb} {version.tag}\n\n{why}\n")
    change = next_champion(view)
    archived = RoleChange(change.number + 1, "archived", version.artifact)
    replaces = held is not None and held[1].version != version.tag
    names = [change.tag, *([archived.tag] if replaces else [])]
    with clone.tags_undone_on_failure(names):
        _assign_role(clone, change, action, version, (tag.oid, tag.commit), why, head)
        if held and replaces:
            replaced = view.tag(held[1].version)
            reason = f"{version.tag} took its place"
            _assign_role(
                clone, archived, "archive", need_version(replaced.name), (replaced.oid, replaced.commit), reason, head
            )
        clone.push(names, commit)
    return change


def _assign_role(
    clone: Clone,
    change: RoleChange,
    action: Literal["challenge", "promote", "roll_back", "archive"],
    version: Version,
    target: tuple[str, str],
    why: str,
    head: Head,
) -> None:
    oid, commit = target
    statement = RoleGiven(
        tag=change.tag,
        why=why,
        action=action,
        role=change.role,
        version=version.tag,
        version_oid=oid,
        audit_n=head.n,
        audit_sha256=head.sha256,
    )
    clone.tag(change.tag, commit, f"{version.tag} becomes {change.role}", statement)


def _next(view: View, role: Literal["challenger", "champion", "archived"]) -> RoleChange:
    return RoleChange(len(view.changes()) + 1, role, view.rules.policy.artifact)


def _former_champions(view: View) -> list[str]:
    """Versions that were champion, in the order in which they last became it."""
    found: dict[str, None] = {}
    for change in view.changes():
        if change.role == "champion":
            statement = role_statement(view.tag(change.tag))
            found.pop(statement.version, None)
            found[statement.version] = None
    return list(found)


def _release_files(clone: Clone, tip: str, version: Version, model_key: Path) -> dict[str, bytes]:
    """Path → content of a release commit, from the tip and the bundle and card that lie in the working tree."""
    policy = clone.rules().policy
    measurements = _measurements(clone.root, policy)
    measured = read_measured(clone.repository, tip, policy, measurements.get(MEASUREMENTS, b"{}"))
    check_measurements(measured, policy, measurements)
    check_decision(measured, policy)
    chosen = measured.decision["chosen"]
    bundle = clone.root / policy.paths.models / chosen
    read_manifest(bundle)
    if (got := folder_md5(bundle)) != (expected := measured.lock.get(f"{policy.paths.models}/{chosen}")):
        raise ReleaseError(
            "The bundle is not the one that the pipeline made.",
            where=bundle,
            got=got,
            expected=expected,
            fix="dvc checkout",
        )
    card = clone.root / policy.paths.model_card
    if not card.is_file():
        raise ReleaseError("The model card is missing.", where=card, fix="dvc pull, or dvc repro")
    manifest = (bundle / MANIFEST).read_bytes()
    side = {
        **measurements,
        BUNDLE: manifest,
        SIGNATURE: sign_bundle(bundle, model_key),
        CARD: card.read_bytes(),
        SBOM: make_sbom(
            version.tag,
            json.loads(manifest),
            bundle_metrics(measured, chosen),
            data_hashes(measured, policy),
            measured.constraints,
        ),
    }
    if policy.provenance:
        statement = make_statement(version.tag, manifest, measured, data_hashes(measured, policy))
        side[PROVENANCE] = sign_statement(statement, model_key)
    folder = release_folder(policy, version)
    files = {**side, RECORD: make_record(measured, policy, version, side)}
    return {f"{folder}/{name}": content for name, content in files.items()}


def _measurements(root: Path, policy: Policy) -> dict[str, bytes]:
    """The side file with what the machine measured; none where the policy names none."""
    if not policy.paths.measurements:
        return {}
    path = root / policy.paths.measurements
    if not path.is_file():
        raise ReleaseError("The measurements are missing.", where=path, fix="dvc pull, or dvc repro")
    return {MEASUREMENTS: path.read_bytes()}
