"""The studio's page of releases: what the signed tags, the policy and the audit log say, and what they do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.registry.audit_log import append, log_path
from ratchet.reporting.templates import render_template
from ratchet.studio.releases import releases_view
from tests.support.registry import V1, git
from tests.support.registry_site import Site, copy, story

XSS = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    with story(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def site(stages: dict[str, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Version 1.0.0 is champion."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    return copy(stages["promoted"], tmp_path / "site")


def page(root: Path) -> str:
    return render_template("studio_releases.html", view="releases", **releases_view(root))


def test_it_shows_who_released_what_and_who_may(site: Site) -> None:
    append(log_path(site.root), who="ann", action="release", subject=V1.tag, why=XSS)
    found = releases_view(site.root)
    (row,) = found["versions"]
    assert (row["version"], row["error"]) == (V1.tag, "")
    assert any("champion" in role for role in row["roles"])
    assert "high-water mark" in row["roles"]
    assert found["rights"]["promote"].approvals >= 1
    assert (found["n_entries"] > 0, found["log_error"]) == (True, "")
    shown = page(site.root)
    assert V1.tag in shown
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "<form" not in shown, "nothing is approved here"


def test_a_tag_that_nobody_signed_and_a_log_that_was_edited_are_told(site: Site) -> None:
    append(log_path(site.root), who="ann", action="release", subject=V1.tag)
    log = log_path(site.root)
    log.write_bytes(log.read_bytes().replace(b'"ann"', b'"eve"', 1))
    git(site.root, "tag", "--force", V1.tag, "HEAD")
    found = releases_view(site.root)
    assert found["log_error"]
    assert found["registry_error"] or any(row["error"] for row in found["versions"])
    assert found["log_error"].splitlines()[0] in page(site.root)


def test_a_folder_without_git_policy_and_log_has_a_page(tmp_path: Path) -> None:
    shown = page(tmp_path)
    assert "no <code>policy.yaml</code>" in shown
    assert "Nothing has been logged" in shown
