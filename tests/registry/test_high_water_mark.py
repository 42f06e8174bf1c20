"""The high-water mark moves with releases that are not worse, and only so; what is released was compared with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.errors import ReleaseError
from ratchet.registry import operations
from ratchet.registry.fetching import find_version
from ratchet.registry.high_water_mark import mark_of
from ratchet.registry.names import Version
from tests.support.registry import HEAD, V1, V2, commit, git, push, write_run
from tests.support.registry_site import Site, copy, story

V3 = Version("sentiment", 1, 2, 0)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with story(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def site(stages: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Version 1.0.0 is champion; the next run has been measured, a point better."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return copy(stages["promoted"], tmp_path / "site")


def _measure(site: Site, accuracy: float) -> None:
    write_run(site.root, accuracy, f"weights of {accuracy}")
    commit(site.root, "Measure again")
    assert push(site.root, "main") == ""


def _release(site: Site, version: Version) -> None:
    operations.propose(site.clone(), version, site.keys / "model.pem", "next", HEAD)
    for person in ("bob", "cay"):
        operations.review(site.clone(person), "approval", person, version.tag, "good")
    operations.promote(site.clone(), version, "better", HEAD)


def _pointer(site: Site) -> str | None:
    found: str | None = json.loads(git(site.root, "show", "main:models/high_water_mark.json")).get("version")
    return found


def test_the_first_release_is_the_mark_and_before_it_there_is_none(stages: dict[str, Site], site: Site) -> None:
    assert mark_of(stages["approved"].clone().view()) is None
    with pytest.raises(ReleaseError, match="Nothing was released yet"):
        find_version(stages["approved"].clone().view(), "high_water_mark")
    assert find_version(site.clone().view(), "high_water_mark") == V1
    assert _pointer(site) == V1.tag


def test_what_is_not_worse_becomes_the_mark_and_what_is_leaves_it(site: Site) -> None:
    _release(site, V2)
    assert _pointer(site) == V2.tag
    _measure(site, 0.787)  # 0.3 points below the mark's 0.79
    _release(site, V3)
    view = site.clone().view()
    assert (find_version(view, "champion"), mark_of(view)) == (V3, V2)
    assert view.record(V3)["high_water_mark"]["gained"] == pytest.approx(-0.003)
    assert _pointer(site) == V2.tag


def test_a_loss_that_is_not_shown_to_be_small_is_not_released(site: Site) -> None:
    """The champion's gate is out of the way: the params of this run ask for the mark alone."""
    params = json.loads((site.root / "params.yaml").read_text())
    params["promote"]["gates"] = params["promote"]["gates"][:1]
    (site.root / "params.yaml").write_text(json.dumps(params))
    _measure(site, 0.76)  # 3 ± 0.5 points below
    decision = json.loads((site.root / "reports/decision.json").read_text())
    (gate,) = [gate for gate in decision["bundles"]["small-int8"]["gates"] if gate["against"] == "high_water_mark"]
    assert not gate["passed"]
    write_run(site.root, 0.76, "forced", forced=True)
    commit(site.root, "Accept it all the same")
    assert push(site.root, "main") == ""
    with pytest.raises(ReleaseError, match="fails a gate"):
        operations.propose(site.clone(), V2, site.keys / "model.pem", "next", HEAD)


def test_a_rollback_takes_the_mark_from_what_is_withdrawn(site: Site) -> None:
    _release(site, V2)
    operations.roll_back(site.clone("bob"), "complaints", HEAD)
    assert _pointer(site) == V1.tag


def test_a_rollback_of_another_version_leaves_the_mark(site: Site) -> None:
    _measure(site, 0.787)
    _release(site, V2)
    operations.roll_back(site.clone("bob"), "complaints", HEAD)
    assert _pointer(site) == V1.tag
    assert find_version(site.clone().view(), "champion") == V1


def test_whoever_may_roll_back_makes_the_champion_the_mark_where_the_marks_bundle_is_lost(site: Site) -> None:
    _measure(site, 0.787)
    _release(site, V2)
    change = operations.roll_back(site.clone("bob"), "the bundle of 1.0.0 is lost", HEAD, to=V2)
    view = site.clone().view()
    assert (mark_of(view), find_version(view, "champion")) == (V2, V2)
    assert _pointer(site) == V2.tag
    assert max(view.changes()) == change, "nothing is archived"
    assert site.clone().verification_failures() == {}
    with pytest.raises(ReleaseError, match="champion already"):
        operations.roll_back(site.clone("bob"), "once more", HEAD, to=V2)
