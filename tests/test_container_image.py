"""The container's root file system, built by its recipe: small, read-only, not root, and it serves."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from ruamel.yaml import YAML

from ratchet.compress.compilers import Compilation
from ratchet.engines.compiling import export
from ratchet.engines.loading import load
from ratchet.serving.settings import LIVE_FILE
from tests.support.bundles import torch_bundle
from tests.support.miniature import ROOT
from tests.support.root_system import Image, build

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="needs root, and apt-get install debootstrap"
    ),
]
MAX_MB = 400


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("container")
    yield build(ROOT / "ops/container/Dockerfile", ROOT, folder)
    shutil.rmtree(folder)


def test_the_image_is_small(image: Image) -> None:
    assert image.size_mb() < MAX_MB


def test_it_serves_a_compiled_bundle_as_nobody_from_a_root_that_cannot_be_written(image: Image, tmp_path: Path) -> None:
    bundle, config = tmp_path / "bundle", tmp_path / "config"
    export(torch_bundle(tmp_path, n_layers=1), bundle, "onnx-int8", Compilation([[1, 2]]), "0" * 64)
    config.mkdir()
    yaml = YAML(typ="safe", pure=True)
    settings: dict[str, Any] = yaml.load(LIVE_FILE.read_text())
    settings["log"] |= {"url": "sqlite:////srv/state/log.db", "folder": "/srv/state/log"}
    settings["serve"] |= {"port": 0, "keys": "off", "registry": "off", "experiment": "/srv/state/experiment.json"}
    with (config / "live.yaml").open("w") as file:
        yaml.dump(settings, file)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for place in ("srv/config", "srv/bundle"):
        (image.root / place).mkdir(exist_ok=True)
    mounts = {config: "/srv/config", bundle: "/srv/bundle"}
    arguments = [*image.command, "--host", "127.0.0.1", "--bundle", "/srv/bundle"]
    with image.start(arguments, mounts, ["/srv/state", "/tmp"]) as process:
        try:
            assert process.stderr is not None
            told = ""
            while not (address := re.search(r"serves on (http://\S+),", told)):
                line = process.stderr.readline()
                assert line, told
                told += line
            texts = ["a superb film", "dull"]
            answer = httpx.post(f"{address[1]}/v1/predict", json={"texts": texts}).raise_for_status().json()
            status = Path(f"/proc/{process.pid}/status").read_text()
            with pytest.raises(OSError, match="Read-only file system"):
                Path(f"/proc/{process.pid}/root/opt/new").touch()
        finally:
            process.terminate()
    found = [list(item["proba"].values()) for item in answer["predictions"]]
    np.testing.assert_allclose(found, load(bundle, 1).predict_proba(texts), atol=0.02)
    assert image.user == "10001"
    assert re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE) == [image.user]
