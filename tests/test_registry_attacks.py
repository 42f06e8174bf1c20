"""Attacks on the registry, pushed to a real bare repository whose hook must refuse each, and say why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ratchet.registry import acts
from ratchet.registry.names import RoleChange, Version
from ratchet.registry.verification import verify_clone
from ratchet.registry.workshop import Clone
from tests.registry import (
    GATES,
    HEAD,
    POLICY,
    V1,
    V2,
    commit,
    git,
    judge_at_work,
    make_clone,
    make_keys,
    make_server,
    push,
    raw_tag,
    signers_text,
    statement,
    write_line,
    write_lock,
)


@dataclass
class Site:
    """A server, a clone of it, and everyone's keys."""

    folder: Path
    keys: Path

    @property
    def root(self) -> Path:
        return self.folder / "clone"

    def clone(self, person: str = "ann") -> Clone:
        return Clone(self.root, key=str(self.keys / person))

    def oid(self, name: str) -> str:
        return git(self.root, "rev-parse", name)

    def tag(self, name: str, commit: str, person: str, says: dict[str, Any], **how: Any) -> None:
        text = f"A tag\n\n{json.dumps(says)}\n"
        raw_tag(self.root, name, commit, text, self.keys / person if person else None, **how)


@contextmanager
def story(base: Path) -> Iterator[dict[str, Site]]:
    """Stage by stage: measured, proposed, approved by two, promoted, and the next line measured."""
    keys = base / "keys"
    make_keys(keys)
    with judge_at_work(base) as hook, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        site = Site(base / "site", keys)
        site.folder.mkdir()
        make_server(site.folder, hook)
        make_clone(site.folder, keys)
        found = {"measured": copy(site, base / "measured")}
        acts.propose(site.clone(), V1, keys / "model.pem", "first", HEAD)
        found["proposed"] = copy(site, base / "proposed")
        for person in ("bob", "cay"):
            acts.review(site.clone(person), "approval", person, V1.tag, "good")
        found["approved"] = copy(site, base / "approved")
        acts.promote(site.clone(), V1, "better", HEAD)
        write_line(site.root, 0.80, "better weights")
        commit(site.root, "Measure again")
        assert push(site.root, "main") == ""
        found["promoted"] = copy(site, base / "promoted")
        yield found


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with story(tmp_path_factory.mktemp("registry")) as found:
        yield found


def copy(site: Site, folder: Path) -> Site:
    shutil.copytree(site.folder, folder)
    return Site(folder, site.keys)


@pytest.fixture
def at(stages: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Site]:
    """A copy of the story at a stage."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return lambda stage: copy(stages[stage], tmp_path / stage)


Attack = Callable[[Site], list[str]]
ATTACKS: dict[str, tuple[str, Attack, str]] = {}
"""What is tried → at which stage, how (the refs to push), and what the server must say."""


def attack(stage: str, expected: str) -> Callable[[Attack], Attack]:
    def add(how: Attack) -> Attack:
        ATTACKS[how.__name__.strip("_").replace("_", " ")] = (stage, how, expected)
        return how

    return add


def _release(site: Site, version: Version = V1, person: str = "ann", signer: str = "ann", model: str = "model",
             change: Callable[[dict[str, bytes]], None] | None = None, check: bool = False) -> list[str]:  # fmt: skip
    """A release as the tool makes it, but nothing is checked on the way; the refs to push."""
    clone = site.clone(person)
    patch = pytest.MonkeyPatch()
    if not check:
        patch.setattr(acts, "check_decision", lambda *_: None)
    with patch.context():
        files = acts._release_files(clone, site.oid("HEAD"), version, site.keys / f"{model}.pem")
    patch.undo()
    if change:
        change(files)
    tip = site.clone(signer).commit(site.oid("HEAD"), files, f"Release {version.tag}\n")
    git(site.root, "update-ref", "refs/heads/main", tip)
    _version_tag(site, version, tip, person)
    return ["main", version.tag]


def _version_tag(site: Site, version: Version, commit: str, person: str, **how: Any) -> None:
    import hashlib

    path = f"{commit}:releases/v{version.number}/release.json"
    record = git(site.root, "show", path) + "\n"
    says = {
        "kind": "release",
        "tag": version.tag,
        "why": "x",
        "record_sha256": hashlib.sha256(record.encode()).hexdigest(),
    }
    site.tag(version.tag, commit, person, says, **how)


def _crown(site: Site, version: Version = V1, person: str = "ann", action: str = "promote", number: int = 0,
           pointer: bool = True, **says: Any) -> list[str]:  # fmt: skip
    """A champion as the tool makes it, but nothing is checked on the way; the refs to push."""
    view = site.clone().view()
    change = RoleChange(number or len(view.changes()) + 1, "champion", "sentiment")
    tag = view.tag(version.tag)
    if pointer:
        record = json.loads(git(site.root, "show", f"{tag.commit}:releases/v{version.number}/release.json"))
        content = json.dumps({"bundle": "models/champion", "manifest_sha256": record["manifest_sha256"]}).encode()
        tip = site.clone(person).commit(site.oid("main"), {"models/champion.json": content}, "Promote\n")
        git(site.root, "update-ref", "refs/heads/main", tip)
    told = {"kind": "role", "tag": change.tag, "why": "x", "action": action, "role": "champion", "version": version.tag,
            "version_oid": tag.oid, "audit_n": 7, "audit_sha256": "7" * 64} | says  # fmt: skip
    site.tag(change.tag, tag.commit, person, told)
    return ["main", change.tag]


def _approve(site: Site, person: str, version: Version = V1, number: int = 2, *, signer: str = "",
             kind: str = "approval", **says: Any) -> str:  # fmt: skip
    name = f"{kind}/sentiment-v{version.number}-champion-{number}/{person}"
    told = {"kind": kind, "tag": name, "why": "x", "action": "promote", "subject": f"sentiment#champion#{number}",
            "subject_oid": site.oid(f"refs/tags/{version.tag}")} | says  # fmt: skip
    site.tag(name, site.oid(f"{version.tag}^{{commit}}"), signer or person, told)
    return name


def _policy(site: Site, key: str | None = "ann", **changes: Any) -> list[str]:
    (site.root / "policy.yaml").write_text(json.dumps({**POLICY, **changes}))
    commit(site.root, "Change the policy", site.keys / key if key else None)
    return ["main"]


def _remeasure(site: Site, **how: Any) -> None:
    write_line(site.root, **how)
    commit(site.root, "Measure again")


# who signs


@attack("measured", "The tag is lightweight")
def _a_lightweight_version(site: Site) -> list[str]:
    refs = _release(site)
    git(site.root, "tag", "--force", V1.tag, "main")
    return refs


@attack("measured", "not signed with an SSH key")
def _an_unsigned_version(site: Site) -> list[str]:
    refs = _release(site)
    _version_tag(site, V1, site.oid("main"), "")
    return refs


@attack("measured", "Signed by nobody who is known")
def _a_version_signed_by_a_stranger(site: Site) -> list[str]:
    return _release(site, person="eve")


@attack("measured", "The signer may not release")
def _a_version_signed_by_who_may_not_release(site: Site) -> list[str]:
    return _release(site, person="bob")


@attack("measured", "The commit is not signed with an SSH key")
def _an_unsigned_release_commit(site: Site) -> list[str]:
    refs = _release(site)
    unsigned = git(site.root, "commit-tree", "-p", "main~1", "-m", "Release", f"{site.oid('main')}^{{tree}}")
    git(site.root, "update-ref", "refs/heads/main", unsigned)
    _version_tag(site, V1, unsigned, "ann")
    return refs


@attack("measured", "not signed by who may release")
def _a_release_commit_signed_by_another(site: Site) -> list[str]:
    return _release(site, signer="cay")


@attack("measured", "is not one of this content")
def _a_signature_over_other_content(site: Site) -> list[str]:
    refs = _release(site)
    whole = git(site.root, "cat-file", "tag", V1.tag) + "\n"
    _put(site, V1.tag, whole.replace('"why": "x"', '"why": "y"'))
    return refs


@attack("measured", "something besides one signature")
def _text_after_the_signature(site: Site) -> list[str]:
    refs = _release(site)
    _put(site, V1.tag, git(site.root, "cat-file", "tag", V1.tag) + '\n{"kind": "release"}\n')
    return refs


@attack("measured", "is not one of this content")
def _a_signature_made_for_something_else_than_git(site: Site) -> list[str]:
    import subprocess

    refs = _release(site)
    payload = git(site.root, "cat-file", "tag", V1.tag).split("-----BEGIN")[0]
    signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(site.keys / "ann")]
    signature = subprocess.run(signing, input=payload.encode(), capture_output=True, check=True).stdout.decode()
    _put(site, V1.tag, payload + signature)
    return refs


@attack("promoted", "Signed by nobody who is known")
def _a_key_that_has_expired_and_a_tag_dated_back(site: Site) -> list[str]:
    """The tag bears a time at which the key still counted; what counts is when it is pushed."""
    lines = signers_text(site.keys).splitlines()
    expired = [
        line.replace('"git"', '"git",valid-before="20250101"') if line.startswith("ann") else line for line in lines
    ]
    (site.root / ".allowed_signers").write_text("\n".join([*expired, ""]))
    changed = commit(site.root, "ann left", site.keys / "dan")
    name = f"approval/policy-{changed}/bob"
    site.tag(name, changed, "bob", {"kind": "approval", "tag": name, "why": "x", "action": "change_policy",
                                    "subject": changed, "subject_oid": changed})  # fmt: skip
    assert push(site.root, "main", name) == ""
    refs = _release(site, V2)
    _version_tag(site, V2, site.oid("main"), "ann", time=1_700_000_000)
    return refs


def _put(site: Site, name: str, content: str) -> None:
    import subprocess

    done = subprocess.run(["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"], cwd=site.root,
                          input=content.encode(), capture_output=True, check=True)  # fmt: skip
    git(site.root, "update-ref", f"refs/tags/{name}", done.stdout.decode().strip())


# what a tag is


@attack("proposed", "nested")
def _a_nested_tag(site: Site) -> list[str]:
    says = statement(site.root, V1.tag) | {"tag": V2.tag}
    site.tag(V2.tag, site.oid(f"refs/tags/{V1.tag}"), "ann", says, kind="tag")
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
    return _release(site, Version("sentiment", 0, 9, 0))


# what a version holds


@attack("measured", "The chosen bundle fails a gate")
def _a_decision_written_by_hand(site: Site) -> list[str]:
    _remeasure(site, accuracy=0.71, forced=True)
    return _release(site)


@attack("measured", "The gates rejected every bundle")
def _a_rejected_decision(site: Site) -> list[str]:
    path = site.root / "reports" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"verdict": "rejected"}))
    write_lock(site.root)
    commit(site.root, "Measure again")
    return _release(site)


@attack("measured", "The commit lacks what a version binds")
def _no_gate_report(site: Site) -> list[str]:
    refs = _release(site)
    git(site.root, "checkout", "--quiet", "--force", "main")
    git(site.root, "rm", "--quiet", "reports/decision.json")
    site_commit = commit(site.root, "Remove the report")
    files = {path: git(site.root, "show", f"HEAD:{path}").encode() + b"\n" for path in
             git(site.root, "ls-files", "releases").splitlines()}  # fmt: skip
    later = {path.replace("v1.0.0", "v1.1.0"): content for path, content in files.items()}
    tip = site.clone().commit(site_commit, later, "Release\n")
    git(site.root, "update-ref", "refs/heads/main", tip)
    _version_tag(site, V2, tip, "ann")
    return [refs[0], V2.tag]


@attack("measured", "does not answer the gates of the params")
def _a_gate_left_out_of_the_decision(site: Site) -> list[str]:
    path = site.root / "reports" / "decision.json"
    decision = json.loads(path.read_text())
    decision["bundles"]["small-int8"]["gates"].pop()
    path.write_text(json.dumps(decision))
    write_lock(site.root)
    commit(site.root, "Measure again")
    return _release(site)


@attack("measured", "A gate that the policy requires is missing")
def _a_required_gate_left_out_of_the_params(site: Site) -> list[str]:
    gates = [gate for gate in GATES if gate["metric"] != "accuracy"]
    (site.root / "params.yaml").write_text(json.dumps({"promote": {"gates": gates}}))
    write_line(site.root, forced=True)
    path = site.root / "reports" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chosen": "small-int8"}))
    write_lock(site.root)
    commit(site.root, "Measure again")
    return _release(site)


@attack("measured", "A report is not the one that the line wrote")
def _a_report_that_the_line_did_not_write(site: Site) -> list[str]:
    path = site.root / "reports" / "evaluate.json"
    path.write_text(path.read_text().replace("0.79", "0.99"))
    commit(site.root, "Better figures")
    return _release(site)


@attack("promoted", "were not compared with the champion")
def _a_line_that_left_the_champion_out(site: Site) -> list[str]:
    pointer = (site.root / "models" / "champion.json").read_bytes()
    (site.root / "models" / "champion.json").write_text('{"bundle": null}')
    write_line(site.root, 0.80, "other")
    (site.root / "models" / "champion.json").write_bytes(pointer)
    commit(site.root, "Measure again")
    return _release(site, V2)


@attack("measured", "The record is not what the commit gives")
def _a_bundle_whose_bytes_differ(site: Site) -> list[str]:
    """The record names other bytes than the bundle's manifest and its signature."""

    def change(files: dict[str, bytes]) -> None:
        path = "releases/v1.0.0/release.json"
        record = json.loads(files[path])
        record["files"]["model.onnx"] = "f" * 64
        files[path] = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()

    return _release(site, change=change)


@attack("measured", "The bundle that was signed is not the one of the record")
def _a_bundle_swapped_after_it_was_signed(site: Site) -> list[str]:
    signature: dict[str, bytes] = {}
    _release(site, change=lambda files: signature.update(files))
    git(site.root, "reset", "--quiet", "--hard", "HEAD~1")
    _remeasure(site, weights="evil weights")
    clone_files: dict[str, bytes] = {}
    _release(site, change=lambda files: clone_files.update(files))
    git(site.root, "reset", "--quiet", "--hard", "HEAD~1")
    return _resigned(site, signature["releases/v1.0.0/model.sig"])


def _resigned(site: Site, signature: bytes) -> list[str]:
    """A release whose record is right for a signature that is not the bundle's."""
    patch = pytest.MonkeyPatch()
    patch.setattr(acts, "sign_bundle", lambda *_: signature)
    refs = _release(site)
    patch.undo()
    return refs


@attack("measured", "by none of the policy's model keys")
def _a_bundle_signed_with_another_model_key(site: Site) -> list[str]:
    return _release(site, model="other-model")


@attack("measured", "adds its own folder, and nothing else")
def _a_release_commit_that_changes_code(site: Site) -> list[str]:
    return _release(site, change=lambda files: files.update({"params.yaml": b"{}"}))


@attack("measured", "bill of materials is not that of the commit")
def _a_bill_of_materials_that_leaves_something_out(site: Site) -> list[str]:
    patch = pytest.MonkeyPatch()
    patch.setattr(acts, "make_sbom", lambda *_: b"{}")
    refs = _release(site)
    patch.undo()
    return refs


@attack("measured", "The model card is not the one that the line wrote")
def _a_model_card_written_by_hand(site: Site) -> list[str]:
    (site.root / "reports" / "model_card.md").write_text("Perfect.\n")
    return _release(site)


@attack("measured", "The commit is not on the protected branch")
def _a_version_on_another_branch(site: Site) -> list[str]:
    refs = _release(site)
    git(site.root, "branch", "side", "main")
    return ["side", refs[1]]


# approvals


@attack("proposed", "0 of 2 approvals")
def _no_approval(site: Site) -> list[str]:
    return _crown(site)


@attack("proposed", "1 of 2 approvals")
def _too_few_approvals(site: Site) -> list[str]:
    return [_approve(site, "bob"), *_crown(site)]


@attack("proposed", "ann made it and does not count")
def _self_approval(site: Site) -> list[str]:
    return [_approve(site, "ann"), _approve(site, "bob"), *_crown(site)]


@attack("proposed", "bob made it and does not count")
def _approval_by_the_one_who_promotes(site: Site) -> list[str]:
    return [_approve(site, "bob"), _approve(site, "cay"), *_crown(site, person="bob")]


@attack("proposed", "not by the one whose name it bears")
def _self_approval_in_the_name_of_another(site: Site) -> list[str]:
    return [_approve(site, "bob"), _approve(site, "cay", signer="ann"), *_crown(site)]


@attack("proposed", "The signer may not approve or reject this")
def _approval_by_who_may_not(site: Site) -> list[str]:
    return [_approve(site, "bob"), _approve(site, "dan"), *_crown(site)]


@attack("approved", "rejected by cay")
def _a_rejection_ignored(site: Site) -> list[str]:
    return [_approve(site, "cay", kind="rejection"), *_crown(site)]


@attack("promoted", "0 of 2 approvals")
def _approvals_of_another_version(site: Site) -> list[str]:
    return [*_release(site, V2), *_crown(site, V2)]


@attack("promoted", "The review is about something else than its name says")
def _an_approval_replayed_for_another_version(site: Site) -> list[str]:
    """The statement is still about version 1.0.0."""
    refs = _release(site, V2)
    oid = site.oid(f"refs/tags/{V1.tag}")
    return [*refs, _approve(site, "bob", V2, 3, subject_oid=oid), _approve(site, "cay", V2, 3), *_crown(site, V2)]


@attack("promoted", "made under another name")
def _an_approval_copied_to_another_promotion(site: Site) -> list[str]:
    old = "refs/tags/approval/sentiment-v1.0.0-champion-2/bob"
    return [*_release(site, V2), f"{old}:refs/tags/approval/sentiment-v1.1.0-champion-3/bob"]


@attack("promoted", "The role was given already")
def _an_approval_after_the_fact(site: Site) -> list[str]:
    return [_approve(site, "ann", number=2)]


# roles


@attack("approved", "The pointer to the champion is not on the champion")
def _a_champion_without_its_pointer(site: Site) -> list[str]:
    return _crown(site, pointer=False)


@attack("proposed", "The pointer to the champion is not on the champion")
def _a_pointer_without_its_champion(site: Site) -> list[str]:
    return _crown(site)[:1]


@attack("approved", "The signer may not promote")
def _a_promotion_by_who_may_not(site: Site) -> list[str]:
    return _crown(site, person="dan")


@attack("approved", "out of turn")
def _a_role_change_out_of_turn(site: Site) -> list[str]:
    return [_approve(site, "bob", number=5), _approve(site, "cay", number=5), *_crown(site, number=5)]


@attack("approved", "out of turn")
def _two_role_changes_of_one_number(site: Site) -> list[str]:
    site.tag("sentiment#challenger#2", site.oid(f"{V1.tag}^{{commit}}"), "ann",
             statement(site.root, "sentiment#challenger#1") | {"tag": "sentiment#challenger#2"})  # fmt: skip
    return ["sentiment#challenger#2", *_crown(site, number=2)]


@attack("approved", "The tag's role is not that of its statement")
def _a_champion_whose_statement_says_challenger(site: Site) -> list[str]:
    return _crown(site, role="challenger", action="challenge")


@attack("approved", "The tag is about another version")
def _a_role_for_another_object_than_the_version(site: Site) -> list[str]:
    return _crown(site, version_oid="a" * 40)


@attack("approved", "A role must be on the commit of its version")
def _a_role_on_another_commit_than_the_version(site: Site) -> list[str]:
    refs = _crown(site)
    site.tag(refs[1], site.oid("main"), "ann", statement(site.root, refs[1]))
    return refs


@attack("promoted", "The version was not compared with the present champion")
def _a_version_measured_before_the_champion_changed(site: Site) -> list[str]:
    """Two versions of one measurement: when the first is champion, the second was compared with the one before."""
    later = Version("sentiment", 1, 2, 0)
    for version in (V2, later):
        assert push(site.root, *_release(site, version)) == ""
    assert push(site.root, _approve(site, "bob", V2, 3), _approve(site, "cay", V2, 3)) == ""
    assert push(site.root, *_crown(site, V2)) == ""
    return [_approve(site, "bob", later, 4), _approve(site, "cay", later, 4), *_crown(site, later)]


@attack("promoted", "The audit log was cut since the last promotion")
def _a_promotion_that_forgets_the_audit_log(site: Site) -> list[str]:
    refs = _release(site, V2)
    return [*refs, _approve(site, "bob", V2, 3), _approve(site, "cay", V2, 3), *_crown(site, V2, audit_n=3)]


@attack("promoted", "Only who was champion can be rolled back to")
def _a_rollback_to_what_was_never_champion(site: Site) -> list[str]:
    return [*_release(site, V2), *_crown(site, V2, person="bob", action="roll_back")]


@attack("promoted", "The signer may not roll back")
def _a_rollback_by_who_may_not(site: Site) -> list[str]:
    return _crown(site, V1, person="ann", action="roll_back")


@attack("promoted", "The champion cannot be archived")
def _the_champion_archived(site: Site) -> list[str]:
    name = "sentiment#archived#3"
    says = statement(site.root, "sentiment#champion#2") | {"tag": name, "role": "archived", "action": "archive"}
    site.tag(name, site.oid(f"{V1.tag}^{{commit}}"), "ann", says)
    return [name]


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
    return _policy(site, None, promote={**POLICY["promote"], "approvals": 0})  # type: ignore[dict-item]


@attack("measured", "The signer may not change a protected path")
def _a_policy_changed_by_who_may_not(site: Site) -> list[str]:
    return _policy(site, "ann", promote={**POLICY["promote"], "approvals": 0})  # type: ignore[dict-item]


@attack("measured", "0 of 1 approvals")
def _a_policy_changed_without_approval(site: Site) -> list[str]:
    return _policy(site, "dan", required_gates=["size_mb"])


@attack("measured", "dan made it and does not count")
def _a_policy_approved_by_its_author(site: Site) -> list[str]:
    refs, tip = _policy(site, "dan", required_gates=["size_mb"]), site.oid("main")
    name = f"approval/policy-{tip}/dan"
    site.tag(name, tip, "dan", {"kind": "approval", "tag": name, "why": "x", "action": "change_policy", "subject": tip,
                                "subject_oid": tip})  # fmt: skip
    return [name, *refs]


@attack("measured", "refused refs/tags/sentiment@v1.0.0: Signed by nobody who is known")
def _a_commit_that_adds_its_own_signer(site: Site) -> list[str]:
    """The policy that would allow it is pushed together with what it would allow."""
    (site.root / ".allowed_signers").write_text(signers_text(site.keys, ["ann", "bob", "cay", "dan", "eve"]))
    _policy(site, "ann", release={"who": ["eve"], "approvers": [], "approvals": 0})
    return _release(site, person="eve", signer="eve")


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
    name = f"approval/policy-{changed}/bob"
    site.tag(name, changed, "bob", {"kind": "approval", "tag": name, "why": "x", "action": "change_policy",
                                    "subject": changed, "subject_oid": changed})  # fmt: skip
    return ["main", name]


@attack("proposed", "Only branches and tags may be pushed")
def _an_object_replaced_by_another(site: Site) -> list[str]:
    """Git would read the replacement in place of the commit, wherever replacements are on."""
    site.tag("other", site.oid("main"), "eve", {})
    git(site.root, "update-ref", f"refs/replace/{site.oid(f'refs/tags/{V1.tag}')}", "refs/tags/other")
    return ["refs/replace/*:refs/replace/*"]


@attack("measured", "Only branches and tags may be pushed")
def _a_branch_that_differs_from_the_protected_one_by_case_only(site: Site) -> list[str]:
    return ["main:refs/heads/Main"]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_server_refuses(at: Callable[[str], Site], name: str) -> None:
    stage, how, expected = ATTACKS[name]
    site = at(stage)
    server = site.folder / "server.git"
    refs = how(site)
    before = git(server, "for-each-ref")
    told = push(site.root, *refs)
    assert expected in told, told or "accepted"
    assert git(server, "for-each-ref") == before


def test_without_a_hook_a_tag_that_has_just_come_must_be_by_a_key_that_counts_now(
    at: Callable[[str], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clone, what was signed while the key counted holds; who dates back what is new is found when it comes."""
    site = at("measured")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2023-11-14T22:13:20Z")
    _release(site)
    _version_tag(site, V1, site.oid("main"), "ann", time=1_700_000_000)
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    git(site.root, "reset", "--quiet", "--hard", "main")
    lines = signers_text(site.keys).replace('ann namespaces="git"', 'ann namespaces="git",valid-before="20250101"')
    (site.root / ".allowed_signers").write_text(lines)
    trusted = commit(site.root, "ann left")
    assert verify_clone(site.clone().repository, trusted)[1] == {}
    found = verify_clone(site.clone().repository, trusted, frozenset({V1.tag}))[1]
    assert "Signed by nobody who is known" in found[V1.tag]


def test_there_are_more_than_twenty() -> None:
    assert len(ATTACKS) > 60


def test_what_the_attacks_are_built_from_is_accepted_when_it_is_right(at: Callable[[str], Site]) -> None:
    """Or the attacks would be refused for the wrong reason."""
    site = at("measured")
    assert push(site.root, *_release(site, check=True)) == ""
    challenger = RoleChange(1, "challenger", "sentiment")
    site.tag(challenger.tag, site.oid("main"), "ann", {
        "kind": "role", "tag": challenger.tag, "why": "x", "action": "challenge", "role": "challenger",
        "version": V1.tag,
        "version_oid": site.oid(f"refs/tags/{V1.tag}"), "audit_n": 7, "audit_sha256": "7" * 64})  # fmt: skip
    assert push(site.root, challenger.tag) == ""
    assert push(site.root, _approve(site, "bob"), _approve(site, "cay")) == ""
    assert push(site.root, *_crown(site)) == ""
    assert site.clone().faults() == {}


def test_an_ordinary_branch_and_tag_are_nobodys_business(at: Callable[[str], Site]) -> None:
    site = at("measured")
    git(site.root, "tag", "v0.1.0")
    assert push(site.root, "main:refs/heads/idea", "v0.1.0") == ""


def test_a_policy_that_others_approved_changes(at: Callable[[str], Site]) -> None:
    site = at("measured")
    _policy(site, "dan", required_gates=["accuracy", "size_mb"])
    git(site.root, "push", "--quiet", "origin", "main:refs/heads/proposal")
    tag = acts.review(replace(site.clone("bob")), "approval", "bob", "HEAD", "more gates")
    assert tag.startswith("approval/policy-")
    assert push(site.root, "main") == ""
