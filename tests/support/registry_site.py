"""The story of a registry, a copy of it at any stage to attack, and the moves that attacks are built from."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ratchet.errors import ReleaseError
from ratchet.registry import operations
from ratchet.registry.clone import Clone
from ratchet.registry.fetching import check_bundle
from ratchet.registry.high_water_mark import mark_of, mark_pointer, next_mark
from ratchet.registry.names import RoleChange, Version, need_version
from tests.support.registry import (
    HEAD,
    POLICY,
    V1,
    commit,
    git,
    judge_at_work,
    make_clone,
    make_keys,
    make_server,
    push,
    raw_tag,
    write_run,
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

    def tag(self, name: str, commit: str, person: str, statement: dict[str, Any], **how: Any) -> None:
        text = f"A tag\n\n{json.dumps(statement)}\n"
        raw_tag(self.root, name, commit, text, self.keys / person if person else None, **how)


@contextmanager
def story(base: Path) -> Iterator[dict[str, Site]]:
    """Stage by stage: measured, proposed, approved by two, promoted, and the next run measured."""
    keys = base / "keys"
    make_keys(keys)
    with judge_at_work(base) as hook, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        site = Site(base / "site", keys)
        site.folder.mkdir()
        make_server(site.folder, hook)
        make_clone(site.folder, keys)
        found = {"measured": copy(site, base / "measured")}
        operations.propose(site.clone(), V1, keys / "model.pem", "first", HEAD)
        found["proposed"] = copy(site, base / "proposed")
        for person in ("bob", "cay"):
            operations.review(site.clone(person), "approval", person, V1.tag, "good")
        found["approved"] = copy(site, base / "approved")
        operations.promote(site.clone(), V1, "better", HEAD)
        write_run(site.root, 0.80, "better weights")
        commit(site.root, "Measure again")
        assert push(site.root, "main") == ""
        found["promoted"] = copy(site, base / "promoted")
        yield found


def copy(site: Site, folder: Path) -> Site:
    """The site as it stands, in another folder."""
    shutil.copytree(site.folder, folder)
    return Site(folder, site.keys)


Maker = Callable[[Site], Any]


@dataclass(frozen=True)
class Attack:
    """An attack: what is tried, at which stage of the story, and the refusal it must get."""

    stage: str
    make: Maker
    """Prepares it, and gives what is to be judged."""
    judged: Callable[[Site, Any], str]
    """The refusal; empty where it is accepted."""
    expected: str

    def reply(self, site: Site) -> str:
        """Make it and have it judged."""
        return self.judged(site, self.make(site))


ATTACKS: dict[str, Attack] = {}
"""Name → attack, of all the modules `attacks_on_…` that were imported."""


def attack(stage: str, expected: str) -> Callable[[Maker], Maker]:
    """Register what gives refs to push; the server's hook judges."""
    return _registered(stage, lambda site, refs: push(site.root, *refs), expected)


def attack_on_bytes(stage: str, expected: str) -> Callable[[Maker], Maker]:
    """Register what gives a folder to pass off as the bundle of version 1.0.0; whoever verifies the version judges."""
    return _registered(stage, _bundle_judged, expected)


def _registered(stage: str, judged: Callable[[Site, Any], str], expected: str) -> Callable[[Maker], Maker]:
    def add(make: Maker) -> Maker:
        ATTACKS[make.__name__.strip("_").replace("_", " ")] = Attack(stage, make, judged, expected)
        return make

    return add


def _bundle_judged(site: Site, bundle: Path) -> str:
    try:
        check_bundle(site.clone().view(), V1, bundle)
    except ReleaseError as error:
        return str(error)
    return ""


def release(
    site: Site,
    version: Version = V1,
    person: str = "ann",
    signer: str = "ann",
    model: str = "model",
    change: Callable[[dict[str, bytes]], None] | None = None,
    check: bool = False,
) -> list[str]:
    """A release as the tool makes it, but nothing is checked on the way; the refs to push."""
    clone = site.clone(person)
    patch = pytest.MonkeyPatch()
    if not check:
        patch.setattr(operations, "check_decision", lambda *_: None)
    with patch.context():
        files = operations._release_files(clone, site.oid("HEAD"), version, site.keys / f"{model}.pem")
    patch.undo()
    if change:
        change(files)
    tip = site.clone(signer).commit(site.oid("HEAD"), files, f"Release {version.tag}\n")
    git(site.root, "update-ref", "refs/heads/main", tip)
    version_tag(site, version, tip, person)
    return ["main", version.tag]


def version_tag(site: Site, version: Version, commit: str, person: str, **how: Any) -> None:
    """The tag of a version on a commit that holds its record."""
    path = f"{commit}:releases/v{version.number}/release.json"
    record = git(site.root, "show", path) + "\n"
    statement = {
        "kind": "release",
        "tag": version.tag,
        "why": "x",
        "record_sha256": hashlib.sha256(record.encode()).hexdigest(),
    }
    site.tag(version.tag, commit, person, statement, **how)


def promote_to_champion(
    site: Site,
    version: Version = V1,
    person: str = "ann",
    action: str = "promote",
    number: int = 0,
    pointer: bool = True,
    **fields: Any,
) -> list[str]:
    """A champion as the tool makes it, but nothing is checked on the way; the refs to push."""
    view = site.clone().view()
    change = RoleChange(number or len(view.changes()) + 1, "champion", "sentiment")
    tag = view.tag(version.tag)
    if pointer:
        record = json.loads(git(site.root, "show", f"{tag.commit}:releases/v{version.number}/release.json"))
        content = json.dumps({"bundle": "models/champion", "manifest_sha256": record["manifest_sha256"]}).encode()
        held = view.holder("champion")
        before = need_version(held[1].version) if held else None
        mark = mark_pointer(view, next_mark(view, action, version, mark_of(view), before))
        files = {"models/champion.json": content, "models/high_water_mark.json": mark}
        tip = site.clone(person).commit(site.oid("main"), files, "Promote\n")
        git(site.root, "update-ref", "refs/heads/main", tip)
    statement = {
        "kind": "role",
        "tag": change.tag,
        "why": "x",
        "action": action,
        "role": "champion",
        "version": version.tag,
        "version_oid": tag.oid,
        "audit_n": 7,
        "audit_sha256": "7" * 64,
    } | fields
    site.tag(change.tag, tag.commit, person, statement)
    return ["main", change.tag]


def policy_approval(site: Site, person: str, commit: str, name: str = "") -> str:
    """An approval of a commit that changes what is protected, by default under its own name; the tag."""
    name = name or f"approval/policy-{commit}/{person}"
    site.tag(
        name,
        commit,
        person,
        {
            "kind": "approval",
            "tag": name,
            "why": "x",
            "action": "change_policy",
            "subject": commit,
            "subject_oid": commit,
        },
    )
    return name


def approve(
    site: Site,
    person: str,
    version: Version = V1,
    number: int = 2,
    *,
    signer: str = "",
    kind: str = "approval",
    **fields: Any,
) -> str:
    """An approval or rejection of a version by anyone; the tag."""
    name = f"{kind}/sentiment-v{version.number}-champion-{number}/{person}"
    statement = {
        "kind": kind,
        "tag": name,
        "why": "x",
        "action": "promote",
        "subject": f"sentiment#champion#{number}",
        "subject_oid": site.oid(f"refs/tags/{version.tag}"),
    } | fields
    site.tag(name, site.oid(f"{version.tag}^{{commit}}"), signer or person, statement)
    return name


def change_policy(site: Site, key: str | None = "ann", **changes: Any) -> list[str]:
    """Another policy, committed; the ref to push."""
    (site.root / "policy.yaml").write_text(json.dumps({**POLICY, **changes}))
    commit(site.root, "Change the policy", site.keys / key if key else None)
    return ["main"]


def remeasure(site: Site, **how: Any) -> None:
    """Another run of the pipeline, committed."""
    write_run(site.root, **how)
    commit(site.root, "Measure again")


def put(site: Site, name: str, content: str) -> None:
    """A tag of any bytes."""
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"],
        cwd=site.root,
        input=content.encode(),
        capture_output=True,
        check=True,
    )
    git(site.root, "update-ref", f"refs/tags/{name}", done.stdout.decode().strip())
