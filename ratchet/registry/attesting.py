"""What a clone attests of a champion, once it has verified it whole."""

from __future__ import annotations

from pathlib import Path

from ratchet.errors import ReleaseError
from ratchet.registry.attestation import SCHEMA_VERSION, Attestation
from ratchet.registry.fetching import check_bundle
from ratchet.registry.names import Version
from ratchet.registry.verification import check_tag
from ratchet.registry.view import View, role_statement


def attest(view: View, version: Version, bundle: Path) -> Attestation:
    """The attestation of a version that is or was the champion, of these bytes.

    The version and the tag that made it champion are judged by the rules that they were pushed under, as all tags are;
    the version's commit has to be on the protected branch.

    Raises:
        ReleaseError: it was never made champion, its commit is not on the protected branch, or it fails verification.
    """
    commit = view.tag(version.tag).commit
    if not view.repository.is_ancestor(commit, view.main):
        raise ReleaseError("The version's commit is not on the protected branch.", where=version.tag, got=commit)
    promotions = [
        change
        for change in view.changes()
        if change.role == "champion" and role_statement(view.tag(change.tag)).version == version.tag
    ]
    if not promotions:
        raise ReleaseError("The version was never made champion.", where=version.tag, fix="ratchet registry approve")
    check_tag(view, version.tag)
    check_tag(view, promotions[-1].tag)
    check_bundle(view, version, bundle)
    return Attestation(
        version=version.tag,
        manifest_sha256=view.record(version)["manifest_sha256"],
        verdict="accepted",
        policy_commit=commit,
        schema_version=SCHEMA_VERSION,
    )
