"""bitsandbytes weights that are really stored in few bits, and still say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import quantize
from ratchet.compress.quantization import Scheme
from ratchet.errors import BundleError, ParamsError
from ratchet.models.bundle import read_manifest
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews, wide_backbone

pytestmark = pytest.mark.slow
PARAMS = quantize.Params(n_check=40, rungs=[], n_threads=1)
N_LINEAR = 3 * (4 * 64 * 64 + 2 * 64 * 128)
"""Weights of the three layers' attention and feed-forward matrices."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_bundle(tmp_path_factory.mktemp("pruned"), "pruned", backbone=wide_backbone)


@pytest.mark.parametrize(
    ("scheme", "dtype", "n_stored"), [("bnb-int8", "I8", N_LINEAR), ("bnb-nf4", "U8", N_LINEAR // 2)]
)
def test_the_linear_layers_are_stored_in_few_bits_and_agree_when_reloaded(
    bundle: Path, tmp_path: Path, scheme: Scheme, dtype: str, n_stored: int
) -> None:
    measured: dict[str, Any] = quantize.run(bundle, tmp_path / "q", scheme, reviews(40, 3)["text"], PARAMS)
    assert measured["stored_numbers"][dtype] >= n_stored
    assert measured["stored_numbers"]["F32"] < 0.2 * N_LINEAR
    assert measured["size_mb"] < measured["size_mb_before"]
    assert measured["agreement"]["value"] >= 0.9
    assert measured["agreement"]["low"] < 1, "no number of texts shows that all agree"
    assert 0 < measured["power"]["agreement"] < 1
    assert 0 < measured["mean_absolute_difference"] < 0.1
    manifest = read_manifest(tmp_path / "q")
    assert (manifest.kind, manifest.parent, manifest.name) == ("bitsandbytes", "pruned", f"pruned-{scheme}")


def test_matrices_of_a_shape_that_not_every_cpu_takes_stay_as_they_are(tmp_path: Path) -> None:
    narrow = torch_bundle(tmp_path, "narrow")
    measured: dict[str, Any] = quantize.run(narrow, tmp_path / "q", "bnb-nf4", reviews(40, 3)["text"], PARAMS)
    assert 3 * 32 * 64 // 2 <= measured["stored_numbers"]["U8"] < 2 * 3 * 32 * 64 // 2  # the one of 64 inputs
    assert measured["stored_numbers"]["F32"] > 3 * 5 * 32 * 32
    assert measured["agreement"]["value"] >= 0.9
    assert measured["agreement"]["low"] < 1, "no number of texts shows that all agree"
    assert 0 < measured["power"]["agreement"] < 1


def test_a_damaged_source_is_refused_and_nothing_is_written(bundle: Path, tmp_path: Path) -> None:
    import shutil

    source = tmp_path / "source"
    shutil.copytree(bundle, source)
    with (source / "model.safetensors").open("r+b") as file:
        file.seek(2000)
        file.write(b"\x00\x01\x02\x03")
    with pytest.raises(BundleError, match="corrupted"):
        quantize.run(source, tmp_path / "q", "bnb-int8", reviews(4, 3)["text"], PARAMS)
    assert not (tmp_path / "q").exists()


def test_an_unknown_scheme_is_refused(bundle: Path, tmp_path: Path) -> None:
    unknown: Any = "bnb-int3"
    with pytest.raises(ParamsError, match="no such quantization"):
        quantize.run(bundle, tmp_path / "q", unknown, reviews(4, 3)["text"], PARAMS)
