"""Attacks on who signs, and on what a tag is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

from ratchet.registry.names import Version
from tests.support.registry import (
    V1,
    V2,
    commit,
    git,
    push,
    raw_tag,
    signers_text,
    statement,
)
from tests.support.registry_site import (
    Site,
    attack,
    policy_approval,
    promote_to_champion,
    put,
    release,
    version_tag,
)


def _release_with_tag(site: Site, edit: Callable[[str], str]) -> list[str]:
    """A release whose version tag has edited bytes; the refs to push."""
    refs = release(site)
    put(site, V1.tag, edit(git(site.root, "cat-file", "tag", V1.tag) + "\n"))
    return refs


# who signs


@attack("measured", "The tag is lightweight")
def _a_lightweight_version(site: Site) -> list[str]:
    refs = release(site)
    git(site.root, "tag", "--force", V1.tag, "main")
    return refs


@attack("measured", "not signed with an SSH key")
def _an_unsigned_version(site: Site) -> list[str]:
    refs = release(site)
    version_tag(site, V1, site.oid("main"), "")
    return refs


@attack("measured", "Signed by nobody who is known")
def _a_version_signed_by_a_stranger(site: Site) -> list[str]:
    return release(site, person="eve")


@attack("measured", "The signer may not release")
def _a_version_signed_by_who_may_not_release(site: Site) -> list[str]:
    return release(site, person="bob")


@attack("measured", "The commit is not signed with an SSH key")
def _an_unsigned_release_commit(site: Site) -> list[str]:
    refs = release(site)
    unsigned = git(site.root, "commit-tree", "-p", "main~1", "-m", "Release", f"{site.oid('main')}^{{tree}}")
    git(site.root, "update-ref", "refs/heads/main", unsigned)
    version_tag(site, V1, unsigned, "ann")
    return refs


@attack("measured", "not signed by who may release")
def _a_release_commit_signed_by_another(site: Site) -> list[str]:
    return release(site, signer="cay")


@attack("measured", "is not one of this content")
def _a_signature_over_other_content(site: Site) -> list[str]:
    return _release_with_tag(site, lambda tag: tag.replace('"why": "x"', '"why": "y"'))


@attack("measured", "something besides one signature")
def _text_after_the_signature(site: Site) -> list[str]:
    return _release_with_tag(site, lambda tag: tag + '{"kind": "release"}\n')


@attack("measured", "is not one of this content")
def _a_signature_made_for_something_else_than_git(site: Site) -> list[str]:
    signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(site.keys / "ann")]

    def sign_for_files(tag: str) -> str:
        payload = tag.split("-----BEGIN")[0]
        done = subprocess.run(signing, input=payload.encode(), capture_output=True, check=True)
        return payload + done.stdout.decode()

    return _release_with_tag(site, sign_for_files)


@attack("promoted", "Signed by nobody who is known")
def _a_key_that_has_expired_and_a_tag_dated_back(site: Site) -> list[str]:
    """The tag bears a time at which the key still counted; what counts is when it is pushed."""
    lines = signers_text(site.keys).splitlines()
    expired = [
        line.replace('"git"', '"git",valid-before="20250101"') if line.startswith("ann") else line for line in lines
    ]
    (site.root / ".allowed_signers").write_text("\n".join([*expired, ""]))
    changed = commit(site.root, "ann left", site.keys / "dan")
    assert push(site.root, "main", policy_approval(site, "bob", changed)) == ""
    refs = release(site, V2)
    version_tag(site, V2, site.oid("main"), "ann", time=1_700_000_000)
    return refs


# what a tag is


@attack("proposed", "nested")
def _a_nested_tag(site: Site) -> list[str]:
    content = statement(site.root, V1.tag) | {"tag": V2.tag}
    site.tag(V2.tag, site.oid(f"refs/tags/{V1.tag}"), "ann", content, kind="tag")
    return [V2.tag]


@attack("proposed", "Tags are never moved or deleted")
def _a_moved_tag(site: Site) -> list[str]:
    site.tag(V1.tag, site.oid("main"), "ann", statement(site.root, V1.tag))
    return ["--force", V1.tag]


@attack("proposed", "Tags are never moved or deleted")
def _a_deleted_tag(site: Site) -> list[str]:
    return ["--delete", V1.tag]


@attack("proposed", "made under another name")
def _a_tag_pushed_under_another_name(site: Site) -> list[str]:
    return [f"refs/tags/{V1.tag}:refs/tags/{V2.tag}"]


@attack("proposed", "statement is that of another tag")
def _an_old_statement_in_a_new_tag(site: Site) -> list[str]:
    site.tag(V2.tag, site.oid("main"), "ann", statement(site.root, V1.tag))
    return [V2.tag]


@attack("proposed", "reserved for the registry")
def _a_name_that_only_gto_reads(site: Site) -> list[str]:
    git(site.root, "tag", "sentiment@v1.0.0!", "main")
    return ["sentiment@v1.0.0!"]


@attack("proposed", "The artifact is not the policy's")
def _another_artifact(site: Site) -> list[str]:
    other = Version("toxicity", 1, 0, 0)
    site.tag(other.tag, site.oid("main"), "ann", statement(site.root, V1.tag) | {"tag": other.tag})
    return [other.tag]


@attack("promoted", "later than all before it")
def _a_version_before_the_last(site: Site) -> list[str]:
    return release(site, Version("sentiment", 0, 9, 0))


@attack("proposed", "The tag of a version must say `release`")
def _a_version_by_the_statement_of_a_role(site: Site) -> list[str]:
    site.tag(V2.tag, site.oid("main"), "ann", statement(site.root, "sentiment#challenger#1") | {"tag": V2.tag})
    return [V2.tag]


@attack("measured", "The tag is about another record")
def _a_version_that_signs_for_another_record(site: Site) -> list[str]:
    refs = release(site)
    site.tag(V1.tag, site.oid("main"), "ann", statement(site.root, V1.tag) | {"record_sha256": "0" * 64})
    return refs


@attack("approved", "The tag of a role must give it")
def _a_role_by_the_statement_of_an_approval(site: Site) -> list[str]:
    refs = promote_to_champion(site)
    content = statement(site.root, "approval/sentiment-v1.0.0-champion-2/bob") | {"tag": refs[1]}
    site.tag(refs[1], site.oid(f"{V1.tag}^{{commit}}"), "ann", content)
    return refs


@attack("measured", "something besides one signature")
def _a_message_that_looks_signed_already(site: Site) -> list[str]:
    """Readers that look for the first signature would take the text after it for signed by somebody else."""
    refs = release(site)
    text = f"-----BEGIN PGP SIGNATURE-----\n\n{json.dumps(statement(site.root, V1.tag))}\n"
    raw_tag(site.root, V1.tag, site.oid("main"), text, site.keys / "ann")
    return refs


@attack("measured", "something besides one signature")
def _words_inside_a_signature(site: Site) -> list[str]:
    begin = "-----BEGIN SSH SIGNATURE-----\n"
    return _release_with_tag(site, lambda tag: tag.replace(begin, f"{begin}by: ann\n"))


@attack("measured", "The tag's header is not the usual one")
def _a_tag_with_two_names(site: Site) -> list[str]:
    refs = release(site)
    text = f"A tag\n\n{json.dumps(statement(site.root, V1.tag))}\n"
    raw_tag(site.root, V1.tag, site.oid("main"), text, site.keys / "ann", kind="commit\ntag other")
    return refs


def _release_commit_with(site: Site, *fields: str) -> list[str]:
    """A release whose commit has these fields in the place of its signature."""
    refs = release(site)
    head, _, text = git(site.root, "cat-file", "commit", "main").partition("\n\n")
    kept = head.partition("\ngpgsig ")[0].split("\n")
    content = "\n".join([*kept, *fields, "", text, ""])
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"],
        cwd=site.root,
        check=True,
        input=content.encode(),
        capture_output=True,
    )
    git(site.root, "update-ref", "refs/heads/main", done.stdout.decode().strip())
    version_tag(site, V1, site.oid("main"), "ann")
    return refs


@attack("measured", "The commit is not signed with an SSH key")
def _a_release_commit_signed_with_pgp(site: Site) -> list[str]:
    return _release_commit_with(site, "gpgsig -----BEGIN PGP SIGNATURE-----", " AAAA", " -----END PGP SIGNATURE-----")


@attack("measured", "The commit is not signed with an SSH key")
def _a_release_commit_with_two_signatures(site: Site) -> list[str]:
    release(site)
    signature = git(site.root, "cat-file", "commit", "main").partition("\ngpgsig ")[2].partition("\n\n")[0]
    git(site.root, "update-ref", "refs/heads/main", "main~1")
    git(site.root, "tag", "--delete", V1.tag)
    return _release_commit_with(site, f"gpgsig {signature}", f"gpgsig-sha256 {signature}")
