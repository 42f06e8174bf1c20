"""Attacks on the protected branch and its rules."""

from __future__ import annotations

import json
import shutil

from tests.support.registry import (
    POLICY,
    V1,
    commit,
    git,
    signers_text,
)
from tests.support.registry_site import (
    Site,
    attack,
    change_policy,
    policy_approval,
    release,
)

# the branch and its rules


@attack("measured", "The protected branch only grows")
def _history_rewritten(site: Site) -> list[str]:
    git(site.root, "commit", "--quiet", "--amend", "-m", "Another history")
    return ["--force", "main"]


@attack("measured", "The protected branch must not be deleted")
def _the_branch_deleted(site: Site) -> list[str]:
    git(site.root.parent / "server.git", "config", "receive.denyDeleteCurrent", "ignore")
    return ["--delete", "main"]


@attack("measured", "not signed with an SSH key")
def _a_policy_changed_without_a_signature(site: Site) -> list[str]:
    return change_policy(site, None, promote={**POLICY["promote"], "approvals": 0})  # type: ignore[dict-item]


@attack("measured", "The signer may not change a protected path")
def _a_policy_changed_by_who_may_not(site: Site) -> list[str]:
    return change_policy(site, "ann", promote={**POLICY["promote"], "approvals": 0})  # type: ignore[dict-item]


@attack("measured", "0 of 1 approvals")
def _a_policy_changed_without_approval(site: Site) -> list[str]:
    return change_policy(site, "dan", required_gates=["size_mb"])


@attack("measured", "dan made it and does not count")
def _a_policy_approved_by_its_author(site: Site) -> list[str]:
    refs, tip = change_policy(site, "dan", required_gates=["size_mb"]), site.oid("main")
    return [policy_approval(site, "dan", tip), *refs]


@attack("measured", "refused refs/tags/sentiment@v1.0.0: Signed by nobody who is known")
def _a_commit_that_adds_its_own_signer(site: Site) -> list[str]:
    """The policy that would allow it is pushed together with what it would allow."""
    (site.root / ".allowed_signers").write_text(signers_text(site.keys, ["ann", "bob", "cay", "dan", "eve"]))
    change_policy(site, "ann", release={"who": ["eve"], "approvers": [], "approvals": 0})
    return release(site, person="eve", signer="eve")


@attack("measured", "Signed by nobody who is known")
def _a_signer_added_by_the_merge_of_an_old_branch(site: Site) -> list[str]:
    """A merge whose first parent is the attacker's side: what counts is what the branch held before."""
    main = site.oid("main")
    (site.root / ".allowed_signers").write_text(signers_text(site.keys, ["eve"]))
    side = commit(site.root, "Side", site.keys / "eve")
    merge = ["-c", f"user.signingkey={site.keys / 'eve'}", "commit-tree", "-S", "-p", side, "-p", main, "-m", "Merge"]
    git(site.root, "update-ref", "refs/heads/main", git(site.root, *merge, f"{side}^{{tree}}"))
    return ["main"]


@attack("measured", "The signer may not change a protected path")
def _a_key_of_the_models_replaced(site: Site) -> list[str]:
    shutil.copy(site.keys / "other-model.pub", site.root / "keys" / "model.pub")
    commit(site.root, "Another key", site.keys / "ann")
    return ["main"]


@attack("measured", "Two people share a key")
def _rules_that_let_one_person_be_two(site: Site) -> list[str]:
    line = signers_text(site.keys, ["ann"])
    (site.root / ".allowed_signers").write_text(signers_text(site.keys) + line.replace("ann", "zoe", 1))
    changed = commit(site.root, "One more", site.keys / "dan")
    return ["main", policy_approval(site, "bob", changed)]


@attack("proposed", "Only branches and tags may be pushed")
def _an_object_replaced_by_another(site: Site) -> list[str]:
    """Git would read the replacement in place of the commit, wherever replacements are on."""
    site.tag("other", site.oid("main"), "eve", {})
    git(site.root, "update-ref", f"refs/replace/{site.oid(f'refs/tags/{V1.tag}')}", "refs/tags/other")
    return ["refs/replace/*:refs/replace/*"]


@attack("measured", "Only branches and tags may be pushed")
def _a_branch_that_differs_from_the_protected_one_by_case_only(site: Site) -> list[str]:
    return ["main:refs/heads/Main"]


@attack("measured", "A line of the allowed signers is not understood")
def _a_signer_of_any_name(site: Site) -> list[str]:
    """Whoever has this key could approve under every name."""
    line = signers_text(site.keys, ["eve"]).replace("eve", "*", 1)
    (site.root / ".allowed_signers").write_text(signers_text(site.keys) + line)
    changed = commit(site.root, "Everyone", site.keys / "dan")
    return ["main", policy_approval(site, "bob", changed)]


@attack("measured", "A branch must be on a commit")
def _a_tag_in_the_place_of_the_branch(site: Site) -> list[str]:
    site.tag("other", commit(site.root, "Go on"), "eve", {})
    return ["--force", "refs/tags/other:refs/heads/main"]


@attack("measured", "The first push must bring the protected branch alone")
def _a_version_in_the_first_push(site: Site) -> list[str]:
    """The server is empty: no policy stood before the one that comes with the version."""
    refs = release(site)
    git(site.folder / "server.git", "update-ref", "-d", "refs/heads/main")
    return refs


def _pointer(site: Site, **changes: object) -> list[str]:
    path = site.root / "models" / "champion.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    commit(site.root, "Move the pointer")
    return ["main"]


@attack("promoted", "The pointer to the champion is not on the champion")
def _a_pointer_to_other_bytes(site: Site) -> list[str]:
    return _pointer(site, manifest_sha256="f" * 64)


@attack("promoted", "The pointer to the champion is not on the champion")
def _a_pointer_that_hides_the_champion(site: Site) -> list[str]:
    """The next line would be compared with none."""
    return _pointer(site, bundle=None)


@attack("measured", "The protected branch has no policy")
def _a_policy_taken_away(site: Site) -> list[str]:
    (site.root / "policy.yaml").unlink()
    changed = commit(site.root, "No rules", site.keys / "dan")
    return ["main", policy_approval(site, "bob", changed)]


def _mark(site: Site, **changes: object) -> list[str]:
    path = site.root / "models" / "high_water_mark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    commit(site.root, "Move the mark")
    return ["main"]


@attack("promoted", "The pointer to the high-water mark is not on the mark")
def _a_mark_on_other_bytes(site: Site) -> list[str]:
    return _mark(site, manifest_sha256="f" * 64)


@attack("promoted", "The pointer to the high-water mark is not on the mark")
def _a_mark_that_is_hidden(site: Site) -> list[str]:
    """The next run would be compared with none."""
    return _mark(site, bundle=None)


@attack("promoted", "The pointer to the high-water mark is not on the mark")
def _a_mark_taken_away(site: Site) -> list[str]:
    (site.root / "models" / "high_water_mark.json").unlink()
    commit(site.root, "No mark")
    return ["main"]


@attack("promoted", "The pointer to the high-water mark is damaged")
def _a_damaged_mark(site: Site) -> list[str]:
    (site.root / "models" / "high_water_mark.json").write_text("[")
    commit(site.root, "Damage the mark")
    return ["main"]
