"""What a clone attests: a champion that verifies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.errors import ReleaseError
from ratchet.registry import operations
from ratchet.registry.attestation import check_attested
from ratchet.registry.attesting import attest
from tests.support.registry import HEAD, V1
from tests.support.registry_site import Site, copy, story


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with story(tmp_path_factory.mktemp("registry")) as found:
        yield found["approved"]


def _attest(site: Site, ref: str = "champion") -> None:
    key, bundle = site.keys / "model.pem", site.root / "models" / "small-int8"
    arguments = ["registry", "attest", ref, "--signing-key", key, "--root", site.root, "--bundle", bundle]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception:
        raise done.exception


def test_a_champion_is_attested_whole(approved: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    site = copy(approved, tmp_path / "site")
    bundle, public = site.root / "models" / "small-int8", (site.keys / "model.pub").read_bytes()
    with pytest.raises(ReleaseError, match="never made champion"):
        _attest(site, V1.tag)
    operations.promote(site.clone(), V1, "better", HEAD)
    _attest(site)
    found = check_attested(bundle, [public])
    assert (found.version, found.policy_commit) == (V1.tag, site.oid(f"{V1.tag}^{{commit}}"))
    (bundle / "model.onnx").write_text("other weights")
    with pytest.raises(ReleaseError, match="bytes are not those"):
        _attest(site)


def test_a_version_outside_of_the_protected_branch_is_not_attested(
    approved: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    site = copy(approved, tmp_path / "site")
    operations.promote(site.clone(), V1, "better", HEAD)
    view = site.clone().view()
    view.main = site.oid(f"{V1.tag}^{{commit}}^")
    with pytest.raises(ReleaseError, match="not on the protected branch"):
        attest(view, V1, site.root / "models" / "small-int8")
