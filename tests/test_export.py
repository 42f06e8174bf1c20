"""Compiled bundles that compute what their source computes, at any batch and length, and name no path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import export
from ratchet.compress.compilers import Engine
from ratchet.errors import BundleError, ParamsError
from ratchet.models.bundle import read_manifest
from ratchet.models.predictor import load
from tests.bundles import torch_bundle
from tests.tiny import reviews

pytestmark = pytest.mark.slow
PARAMS = export.Params(n_calibration=16, n_check=40, n_threads=1, seed=0)
ENGINES: list[Engine] = ["onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A source bundle compiled for every engine, with what each run measured."""
    folder = tmp_path_factory.mktemp("bundles")
    source = torch_bundle(folder, "pruned")
    texts, calibration = reviews(40, 3)["text"], reviews(16, 4)["text"]
    measured = {
        engine: export.run(source, folder / f"pruned-{engine}", engine, calibration, texts, PARAMS)
        for engine in ENGINES
    }
    return {"folder": folder, "source": source, "measured": measured}


@pytest.mark.parametrize("engine", ENGINES)
def test_probabilities_stay_with_the_source_alone_together_and_cut_to_length(
    compiled: dict[str, Any], engine: Engine
) -> None:
    source, target = load(compiled["source"], 1), load(compiled["folder"] / f"pruned-{engine}", 1)
    texts = [*reviews(12, 7)["text"], "superb " * 200, "dull"]
    tolerance = 1e-5 if engine.endswith("fp32") else 0.15
    np.testing.assert_allclose(target.predict_proba(texts), source.predict_proba(texts), atol=tolerance)
    np.testing.assert_allclose(target.predict_proba(texts[-1:]), source.predict_proba(texts[-1:]), atol=tolerance)
    assert target.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("engine", ["onnx-int8", "openvino-int8"])
def test_int8_weights_are_really_int8(compiled: dict[str, Any], engine: Engine) -> None:
    folder: Path = compiled["folder"] / f"pruned-{engine}"
    if engine.startswith("onnx"):
        import onnx

        tensors = onnx.load(folder / "model.onnx").graph.initializer
        sizes = {t.name: int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.INT8}
    else:
        import openvino

        nodes = openvino.Core().read_model(folder / "openvino_model.xml").get_ops()
        constants = [node for node in nodes if node.get_type_name() == "Constant"]
        sizes = {
            node.get_friendly_name(): int(np.prod(node.shape)) for node in constants
            if node.get_element_type().get_type_name() in ("i8", "u8")
        }  # fmt: skip
    assert sum(sizes.values()) >= 3 * (4 * 32 * 32 + 2 * 32 * 64)
    assert compiled["measured"][engine]["agreement"] >= 0.85


@pytest.mark.parametrize("engine", ENGINES)
def test_a_compiled_bundle_names_its_parent_and_no_path_of_the_machine(
    compiled: dict[str, Any], engine: Engine
) -> None:
    folder: Path = compiled["folder"] / f"pruned-{engine}"
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.parent) == (f"pruned-{engine}", "pruned")
    assert manifest.precision == engine.partition("-")[2]
    here = [str(compiled["folder"]).encode(), str(Path(__file__).parents[1]).encode(), b"site-packages"]
    for file in folder.iterdir():
        data = file.read_bytes()
        assert not any(path in data for path in here), file.name


def test_the_same_source_compiles_to_the_same_bytes(compiled: dict[str, Any], tmp_path: Path) -> None:
    texts, calibration = reviews(4, 3)["text"], reviews(16, 4)["text"]
    engines: list[Engine] = ["onnx-int8", "openvino-int8"]
    for engine in engines:
        export.run(compiled["source"], tmp_path / engine, engine, calibration, texts, PARAMS)
        assert read_manifest(tmp_path / engine).files == read_manifest(compiled["folder"] / f"pruned-{engine}").files


def test_only_a_pytorch_bundle_can_be_compiled(compiled: dict[str, Any], tmp_path: Path) -> None:
    source = compiled["folder"] / "pruned-onnx-fp32"
    with pytest.raises(BundleError, match="needs a PyTorch bundle"):
        export.run(source, tmp_path / "x", "onnx-int8", reviews(4, 1)["text"], reviews(4, 1)["text"], PARAMS)


def test_an_unknown_engine_is_refused(compiled: dict[str, Any], tmp_path: Path) -> None:
    unknown: Any = "tvm-int8"
    with pytest.raises(ParamsError, match="no such engine"):
        export.run(compiled["source"], tmp_path / "x", unknown, reviews(4, 1)["text"], reviews(4, 1)["text"], PARAMS)
    assert not (tmp_path / "x").exists()
