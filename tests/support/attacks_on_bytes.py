"""Attacks on the bytes of a bundle, which a server never sees: whoever fetches or loads it must refuse them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ratchet.files import sha256_file
from ratchet.registry import operations
from ratchet.registry.bundle_check import folder_md5
from tests.support.registry import git, push, write_run
from tests.support.registry_site import Site, attack_on_bytes, release


def _bundle(site: Site) -> Path:
    return shutil.copytree(site.root / "models" / "small-int8", site.folder / "bundle")


@attack_on_bytes("proposed", "A file of the bundle is corrupted")
def _a_changed_byte_of_the_weights(site: Site) -> Path:
    (_bundle(site) / "model.onnx").write_text("Weights")
    return site.folder / "bundle"


@attack_on_bytes("proposed", "holds files its manifest does not name")
def _a_file_laid_beside_the_weights(site: Site) -> Path:
    (_bundle(site) / "sitecustomize.py").write_text("")
    return site.folder / "bundle"


@attack_on_bytes("proposed", "The bundle's bytes are not those that were released")
def _another_bundle_that_is_whole_in_itself(site: Site) -> Path:
    bundle = _bundle(site)
    (bundle / "model.onnx").write_text("evil weights")
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["files"]["model.onnx"] = sha256_file(bundle / "model.onnx")
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    return bundle


@attack_on_bytes("measured", "The bundle is not the one that the pipeline made")
def _a_bundle_that_the_releaser_signed_and_the_pipeline_never_made(site: Site) -> Path:
    """Record and signature agree with it; what the server cannot know is that `dvc.lock` is about other bytes."""
    measured = folder_md5(site.root / "models" / "small-int8")
    write_run(site.root, weights="evil weights")
    git(site.root, "checkout", "--quiet", "dvc.lock", "reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "folder_md5", lambda _: measured)
        assert push(site.root, *release(site)) == ""
    return site.root / "models" / "small-int8"
