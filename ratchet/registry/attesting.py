"""What a clone attests of a champion, once it has verified it whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ratchet.errors import ReleaseError
from ratchet.registry.attestation import SCHEMA_VERSION, Attestation
from ratchet.registry.fetching import check_bundle
from ratchet.registry.names import Version
from ratchet.registry.policy import read_rules
from ratchet.registry.verification import check_tag
from ratchet.registry.view import View, role_statement


def attest(view: View, version: Version, bundle: Path) -> Attestation:
    """The attestation of a version that is or was the champion, of these bytes.

    The version and the tag that made it champion are judged by the policy and the keys of its own commit, which has to
    be on the protected branch: somebody who leaves later takes no champion along.

    Raises:
        ReleaseError: it was never made champion, its commit is not on the protected branch, or it fails verification.
    """
    # by the object alone: whose signature counts is a matter of the rules of then
    commit = view.repository.run("rev-parse", f"{view.tags[version.tag]}^{{commit}}").decode().strip()
    if not view.repository.is_ancestor(commit, view.main):
        raise ReleaseError("The version's commit is not on the protected branch.", where=version.tag, got=commit)
    then = replace(view, rules=read_rules(view.repository, commit), checked=set(), _read={}, _records={})
    promotions = [
        change
        for change in then.changes()
        if change.role == "champion" and role_statement(then.tag(change.tag)).version == version.tag
    ]
    if not promotions:
        raise ReleaseError("The version was never made champion.", where=version.tag, fix="ratchet registry approve")
    check_tag(then, version.tag)
    check_tag(then, promotions[-1].tag)
    check_bundle(then, version, bundle)
    return Attestation(
        version=version.tag,
        manifest_sha256=then.record(version)["manifest_sha256"],
        verdict="accepted",
        policy_commit=commit,
        schema_version=SCHEMA_VERSION,
    )
