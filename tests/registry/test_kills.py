"""A release, a promotion and a rollback that are killed before each thing they do, and then repeated."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import release as flow
from flows.release import Request
from ratchet.commands import registry as commands
from ratchet.files import replace_folder
from ratchet.registry import audit_log, fetching, operations
from ratchet.registry.audit_log import entries, log_path
from ratchet.registry.clone import Clone
from tests.support.registry import HEAD, V1, V2, commit, git, push, write_run
from tests.support.registry_site import Site, copy, story

pytestmark = pytest.mark.slow
EFFECTS = ("fetch", "commit-tree", "tag", "push", "update-ref", "merge")
"""Commands of Git that change something, here or there; others only read."""


class Killed(BaseException):
    """The process is gone: nothing catches it, and nothing that it does afterwards has an effect."""


class Mortal:
    """Counts the effects of a run, and ends it before the one of that number; 0: never."""

    def __init__(self, at: int) -> None:
        self.at, self.n = at, 0

    def step(self) -> None:
        self.n += 1
        if self.at and self.n >= self.at:
            raise Killed

    def guard(self, patch: pytest.MonkeyPatch) -> None:
        """Everything that a release does to the world goes through here."""
        git_command, append, replace = Clone.git, audit_log.append, replace_folder

        def mortal_git(clone: Clone, *words: str, **options: Any) -> str:
            if words[0] in EFFECTS:
                self.step()
            return git_command(clone, *words, **options)

        def mortal_append(*words: Any, **options: Any) -> Any:
            self.step()
            return append(*words, **options)

        def mortal_replace(path: Path) -> Any:
            self.step()
            return replace(path)

        def get(root: Path, revision: str, path: str, into: Path) -> None:
            self.step()
            shutil.copytree(root / path if (root / path).exists() else root.parent / "cache" / revision, into)

        patch.setattr(Clone, "git", mortal_git)
        patch.setattr("flows.runner.audit.append", mortal_append)
        patch.setattr("ratchet.commands.registry.append", mortal_append)
        patch.setattr("ratchet.registry.fetching.replace_folder", mortal_replace)
        patch.setattr(fetching, "get", get)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with story(tmp_path_factory.mktemp("registry")) as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        patch.setenv("RATCHET_AUDIT_LOG", "../audit.jsonl")  # beside the clone, and copied with it
        patch.setattr("flows.release.keep_reference", lambda *_: "")
        for site in found.values():
            for number in range(HEAD.n):  # as many as the tags of the story say
                audit_log.append(log_path(site.root), who="ann", action="decision", subject=f"run-{number}")
        yield found


def killed_everywhere(site: Site, folder: Path, run: Callable[[Site], None], holds: Callable[[Site], None]) -> int:
    """Kill a fresh copy of the site's run before each of its effects, repeat the run, and see that all is well."""
    for at in itertools.count(1):
        here = copy(site, folder / str(at))
        mortal = Mortal(at)
        with pytest.MonkeyPatch.context() as patch:
            mortal.guard(patch)
            try:
                run(here)
            except Killed:
                mortal.at = 0
                run(here)
                done = False
            else:
                done = True
        holds(here)
        _whole(here)
        shutil.rmtree(here.folder)
        if done:
            return at - 1
    raise AssertionError


def _whole(site: Site) -> None:
    """Clone and server agree, every tag verifies, and each change is logged once."""
    clone = Clone(site.root)
    assert clone.verification_failures() == {}
    ours = {name for name in clone.view().tags if "@" in name or "#" in name}
    assert ours == {name for name in clone.remote_tags() if "@" in name or "#" in name}
    assert git(site.root, "rev-parse", "HEAD") == git(site.folder / "server.git", "rev-parse", "main")
    logged = [entry.details["tag"] for entry in entries(log_path(site.root)) if "tag" in entry.details]
    assert len(logged) == len(set(logged))


def _champion_is_here(site: Site, tag: str) -> None:
    view = Clone(site.root).view()
    held = view.holder("champion")
    assert held is not None
    assert held[1].version == tag
    assert fetching.held(view, fetching.find_version(view, "champion"), site.root / "models/champion")


@pytest.mark.deep
def test_a_proposal_is_completed_by_the_same_call(stages: dict[str, Site], tmp_path: Path) -> None:
    def run(site: Site) -> None:
        request = Request(
            site.root, "ann", "better", key=str(site.keys / "ann"), model_key=str(site.keys / "model.pem")
        )
        assert flow.propose(request) == V1

    def holds(site: Site) -> None:
        assert [version.tag for version in Clone(site.root).view().versions()] == [V1.tag]
        assert [entry.subject for entry in entries(log_path(site.root)) if entry.action == "release"] == [V1.tag]

    assert killed_everywhere(stages["measured"], tmp_path, run, holds) >= 8


@pytest.mark.deep
def test_a_promotion_is_completed_by_the_same_call(stages: dict[str, Site], tmp_path: Path) -> None:
    """With bytes and audit entry, wherever it was killed; never "Promoted" without them."""

    def run(site: Site) -> None:
        state, _ = flow.promote(Request(site.root, "ann", "better", key=str(site.keys / "ann")), V1)
        assert state == flow.PROMOTED

    def holds(site: Site) -> None:
        _champion_is_here(site, V1.tag)
        assert [entry.subject for entry in entries(log_path(site.root)) if entry.action == "promotion"] == [V1.tag]

    assert killed_everywhere(stages["approved"], tmp_path, run, holds) >= 10


@pytest.mark.deep
def test_a_rollback_is_completed_and_not_repeated(stages: dict[str, Site], tmp_path: Path) -> None:
    """Repeated it would go back to the champion before the one that it has gone back to."""
    site = copy(stages["promoted"], tmp_path / "two")
    clone = site.clone()
    kept = site.folder / "cache" / git(site.root, "rev-parse", f"{V1.tag}^{{commit}}^")
    git(site.root, "stash", "--quiet", "--include-untracked")
    shutil.copytree(stages["approved"].root / "models/small-int8", kept)
    write_run(site.root, 0.80, "better weights")
    commit(site.root, "Measure once more")
    assert push(site.root, "main") == ""
    operations.propose(clone, V2, site.keys / "model.pem", "second", audit_log.verify(log_path(site.root)))
    for person in ("bob", "cay"):
        operations.review(site.clone(person), "approval", person, V2.tag, "good")
    operations.promote(clone, V2, "better", audit_log.verify(log_path(site.root)))
    shutil.rmtree(site.root / "models/small-int8")

    def run(here: Site) -> None:
        commands.rollback("complaints", "cay", root=here.root, key=str(here.keys / "cay"))

    def holds(here: Site) -> None:
        _champion_is_here(here, V1.tag)

    assert killed_everywhere(site, tmp_path, run, holds) >= 8
