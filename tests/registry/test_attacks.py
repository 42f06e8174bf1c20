"""Attacks on the registry: a real bare repository's hook, or whoever verifies, must refuse each, and say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ratchet.registry import operations
from ratchet.registry.names import RoleChange
from ratchet.registry.verification import verify_clone
from tests.support import (
    attacks_on_bytes,
    attacks_on_roles,
    attacks_on_tags,
    attacks_on_the_branch,
    attacks_on_versions,
)
from tests.support.registry import HEAD, V1, V2, commit, git, push, signers_text
from tests.support.registry_site import (
    ATTACKS,
    Site,
    approve,
    change_policy,
    copy,
    promote_to_champion,
    release,
    story,
    version_tag,
)

HELD_BY = (attacks_on_tags, attacks_on_versions, attacks_on_roles, attacks_on_the_branch, attacks_on_bytes)
"""The modules that add to `ATTACKS` when they are imported."""


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with story(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def at(stages: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Site]:
    """A copy of the story at a stage."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return lambda stage: copy(stages[stage], tmp_path / stage)


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused(at: Callable[[str], Site], name: str) -> None:
    attack = ATTACKS[name]
    site = at(attack.stage)
    server = site.folder / "server.git"
    made = attack.make(site)
    before = git(server, "for-each-ref")
    reply = attack.judged(site, made)
    assert attack.expected in reply, reply or "accepted"
    assert git(server, "for-each-ref") == before


def test_without_a_hook_a_tag_that_has_just_come_must_be_by_a_key_that_counts_now(
    at: Callable[[str], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a clone, what was signed while the key counted holds; who dates back what is new is found when it comes."""
    site = at("measured")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2023-11-14T22:13:20Z")
    release(site)
    version_tag(site, V1, site.oid("main"), "ann", time=1_700_000_000)
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    git(site.root, "reset", "--quiet", "--hard", "main")
    lines = signers_text(site.keys).replace('ann namespaces="git"', 'ann namespaces="git",valid-before="20250101"')
    (site.root / ".allowed_signers").write_text(lines)
    trusted = commit(site.root, "ann left")
    assert verify_clone(site.clone().repository, trusted)[1] == {}
    found = verify_clone(site.clone().repository, trusted, frozenset({V1.tag}))[1]
    assert "Signed by nobody who is known" in found[V1.tag]


def test_there_are_more_than_twenty() -> None:
    assert len(ATTACKS) > 100


def test_what_the_attacks_are_built_from_is_accepted_when_it_is_right(at: Callable[[str], Site]) -> None:
    """Or the attacks would be refused for the wrong reason."""
    site = at("measured")
    assert push(site.root, *release(site, check=True)) == ""
    challenger = RoleChange(1, "challenger", "sentiment")
    site.tag(
        challenger.tag,
        site.oid("main"),
        "ann",
        {
            "kind": "role",
            "tag": challenger.tag,
            "why": "x",
            "action": "challenge",
            "role": "challenger",
            "version": V1.tag,
            "version_oid": site.oid(f"refs/tags/{V1.tag}"),
            "audit_n": 7,
            "audit_sha256": "7" * 64,
        },
    )
    assert push(site.root, challenger.tag) == ""
    assert push(site.root, approve(site, "bob"), approve(site, "cay")) == ""
    assert push(site.root, *promote_to_champion(site)) == ""
    assert site.clone().verification_failures() == {}


def test_who_may_only_roll_back_can(at: Callable[[str], Site]) -> None:
    """Cay may not promote, and still archives the champion that she replaces."""
    site = at("promoted")
    assert push(site.root, *release(site, V2)) == ""
    assert push(site.root, approve(site, "bob", V2, 3), approve(site, "cay", V2, 3)) == ""
    assert push(site.root, *promote_to_champion(site, V2)) == ""
    git(site.root, "reset", "--quiet", "--hard", "main")
    operations.roll_back(site.clone("cay"), "complaints", HEAD)
    assert site.clone().view().holder("champion", None)[1].version == V1.tag  # type: ignore[index]
    assert site.clone().verification_failures() == {}


def test_an_ordinary_branch_and_tag_are_nobodys_business(at: Callable[[str], Site]) -> None:
    site = at("measured")
    git(site.root, "tag", "v0.1.0")
    assert push(site.root, "main:refs/heads/idea", "v0.1.0") == ""


def test_a_policy_that_others_approved_changes(at: Callable[[str], Site]) -> None:
    site = at("measured")
    change_policy(site, "dan", required_gates=["accuracy", "size_mb"])
    git(site.root, "push", "--quiet", "origin", "main:refs/heads/proposal")
    tag = operations.review(replace(site.clone("bob")), "approval", "bob", "HEAD", "more gates")
    assert tag.startswith("approval/policy-")
    assert push(site.root, "main") == ""
