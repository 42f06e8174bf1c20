"""What was released is judged by the policy that it was released under, and by no policy that nobody approved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.registry.clone import Clone
from tests.support.registry import POLICY, TEAM, V2, commit, git, push, signers_text, write_run
from tests.support.registry_site import (
    Site,
    approve,
    copy,
    policy_approval,
    promote_to_champion,
    release,
    story,
)


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with story(tmp_path_factory.mktemp("registry")) as stages:
        yield stages["promoted"]


@pytest.fixture
def site(promoted: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return copy(promoted, tmp_path / "site")


def leave(site: Site, person: str) -> None:
    """The person leaves policy and keys, by dan, whom bob approves; another key signs bundles from now on."""
    rights = {
        name: {
            **right,
            "who": [*{*right["who"], "dan"} - {person}],
            "approvers": sorted({*right["approvers"]} - {person}),
        }
        for name, right in POLICY.items()
        if isinstance(right, dict) and "who" in right
    }
    (site.root / "policy.yaml").write_text(json.dumps({**POLICY, **rights}))
    (site.root / ".allowed_signers").write_text(signers_text(site.keys, [p for p in TEAM[:4] if p != person]))
    shutil.copy(site.keys / "other-model.pub", site.root / "keys" / "model.pub")
    tip = commit(site.root, f"{person} leaves", site.keys / "dan")
    tag = policy_approval(site, "bob", tip)
    assert push(site.root, "main", tag) == ""


def test_the_champion_of_somebody_who_left_goes_on_verifying(site: Site) -> None:
    """Ann released and promoted it; nobody knows her any more, and its bundle's key is replaced."""
    leave(site, "ann")
    assert Clone(site.root).verification_failures() == {}
    assert Clone(site.root).view().holder("champion") is not None


def test_who_left_may_release_nothing_more(site: Site) -> None:
    leave(site, "ann")
    write_run(site.root, 0.81, "more")
    commit(site.root, "Measure again")
    refused = push(site.root, *release(site, V2))
    assert "Signed by nobody who is known" in refused


def test_a_policy_that_nobody_approved_makes_nobody_a_releaser(site: Site) -> None:
    """Eve merges a branch in which the policy was hers for one commit, on a server without a hook."""
    (site.folder / "server.git" / "hooks" / "pre-receive").write_text("#!/bin/sh\nexit 0\n")
    before = git(site.root, "rev-parse", "HEAD")
    own = {**POLICY, "release": {"who": ["eve"], "approvers": [], "approvals": 0}}
    own["promote"] = {"who": ["eve"], "approvers": [], "approvals": 0}
    (site.root / "policy.yaml").write_text(json.dumps(own))
    (site.root / ".allowed_signers").write_text(signers_text(site.keys, TEAM))
    write_run(site.root, 0.81, "eve's weights")
    commit(site.root, "Measure", site.keys / "eve", author="eve")
    refs = release(site, V2, "eve", "eve")
    git(site.root, "reset", "--quiet", "--hard", "main")
    git(site.root, "checkout", "--quiet", before, "--", "policy.yaml", ".allowed_signers")
    commit(site.root, "Restore", site.keys / "eve", author="eve")
    assert push(site.root, *refs) == ""
    failures = Clone(site.root).verification_failures()
    assert [*failures] == [V2.tag]
    assert "Signed by nobody who is known" in failures[V2.tag]


def test_an_author_cannot_approve_by_leaving(site: Site) -> None:
    """Bob made it and approved it; gone from the keys, his commits still count as his."""
    write_run(site.root, 0.81, "bob's weights")
    commit(site.root, "Change the model", site.keys / "bob", author="bob")
    (site.folder / "server.git" / "hooks" / "pre-receive").write_text("#!/bin/sh\nexit 0\n")
    refs = release(site, V2)
    refs += [approve(site, person, V2, 3) for person in ("bob", "cay")]
    refs += promote_to_champion(site, V2)
    assert push(site.root, *refs) == ""
    git(site.root, "checkout", "--quiet", "--force", "main")
    leave(site, "cay")
    assert "1 of 2 approvals; bob made it" in Clone(site.root).verification_failures()["sentiment#champion#3"]
