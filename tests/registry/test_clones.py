"""Clones as people have them: cut short by CI, or owned by somebody else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from ratchet.__main__ import app
from ratchet.errors import ReleaseError
from ratchet.registry.clone import Clone
from ratchet.registry.git import NO_OBJECT
from ratchet.registry.hook import judge_lines
from tests.support.registry import V2, commit, git, push, write_run
from tests.support.registry_site import Site, approve, copy, promote_to_champion, release, story


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with story(tmp_path_factory.mktemp("registry")) as stages:
        yield stages["promoted"]


@pytest.fixture
def self_approved(promoted: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server without a hook, whose champion was approved by bob, who had signed its change three commits before."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    site = copy(promoted, tmp_path / "site")
    server = site.folder / "server.git"
    (server / "hooks" / "pre-receive").write_text("#!/bin/sh\nexit 0\n")
    write_run(site.root, 0.81, "bob's weights")
    commit(site.root, "Change the model", site.keys / "bob", author="bob")
    for n in range(3):
        commit(site.root, f"Look at it {n}")
    refs = release(site, V2)
    refs += [approve(site, person, V2, 3) for person in ("bob", "cay")]
    refs += promote_to_champion(site, V2)
    assert push(site.root, *refs) == ""
    return server


def _ratchet(*words: str) -> None:
    get_command(app).main(list(words), standalone_mode=False)


def test_a_shallow_clone_verifies_nothing(self_approved: Path, tmp_path: Path) -> None:
    """What was cut off is who made the champion: without it her own approval would count."""
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "3", f"file://{self_approved}", str(shallow))
    git(shallow, "fetch", "--quiet", "--depth", "3", "--tags")
    for words in (["verify", "champion", "--no-bytes"], ["verify"], ["list"]):
        with pytest.raises(ReleaseError, match=r"fetch the history: git fetch --unshallow"):
            _ratchet("registry", *words, "--root", str(shallow))
    git(shallow, "fetch", "--quiet", "--unshallow", "--tags")
    with pytest.raises(ReleaseError, match="1 of 2 approvals"):
        _ratchet("registry", "verify", "champion", "--no-bytes", "--root", str(shallow))


def test_a_shallow_server_accepts_nothing(self_approved: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", "--depth", "3", f"file://{self_approved}", "shallow.git")
    tip = git(tmp_path / "shallow.git", "rev-parse", "main")
    code, messages = judge_lines(tmp_path / "shallow.git", [f"{NO_OBJECT} {tip} refs/heads/idea"], "main")
    assert code == 1
    assert "The clone is shallow" in messages[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a clone to somebody else, which only root may")
def test_a_clone_of_somebody_else_is_read_where_the_user_calls_it_safe(
    promoted: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(promoted.root, tmp_path / "theirs")
    for path in [root, *root.rglob("*")]:
        os.lchown(path, 54321, 54321)
    mine = tmp_path / "gitconfig"
    mine.write_text("[core]\n\tabbrev = 4\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(mine))
    with pytest.raises(ReleaseError, match="dubious ownership"):
        _ratchet("registry", "list", "--root", str(root))
    git(tmp_path, "config", "--file", str(mine), "--add", "safe.directory", str(root))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(shutil.copy(mine, tmp_path / "gitconfig-2")))
    _ratchet("registry", "list", "--root", str(root))
    assert "sentiment@v1.0.0" in capsys.readouterr().out
    assert Clone(root).verification_failures() == {}
    assert len(Clone(root).trusted()) == 40  # the user's other settings, such as core.abbrev, have no say
