"""Compiled bundles that compute what their source computes, at any batch and length, and name no path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipeline_steps import export
from ratchet.compress.compilers import Compilation
from ratchet.compress.graph_session import run_graph
from ratchet.compress.graph_writer import Format
from ratchet.engines.loading import load
from ratchet.errors import BundleError, ParamsError
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.forward import logits_of
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews, word_pieces

pytestmark = pytest.mark.slow
PARAMS = export.Params(
    embedding_bits=8,
    n_calibration=16,
    n_sensitivity=8,
    n_check=40,
    min_agreement=0.0,
    n_tokens=0,
    rungs=[],
    n_threads=1,
    seed=0,
)
ENGINES = ["onnx-fp32", "onnx-int8", "onnx-int8-dynamic", "onnx-int4", "openvino-fp32", "openvino-int8"]


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
    compiled: dict[str, Any], engine: str
) -> None:
    source, target = load(compiled["source"], 1), load(compiled["folder"] / f"pruned-{engine}", 1)
    texts = [*reviews(12, 7)["text"], "superb " * 200, "dull"]
    tolerance = {"fp32": 1e-5, "int4": 0.45}.get(engine.partition("-")[2], 0.15)
    np.testing.assert_allclose(target.predict_proba(texts), source.predict_proba(texts), atol=tolerance)
    alone = np.vstack([target.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone, source.predict_proba(texts), atol=tolerance)
    assert target.predict_proba([]).shape == (0, 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_answer_does_not_depend_on_the_other_texts_but_where_ranges_are_measured_as_they_come(
    compiled: dict[str, Any], engine: str
) -> None:
    target, texts = load(compiled["folder"] / f"pruned-{engine}", 1), [*reviews(12, 7)["text"], "superb " * 200, "dull"]
    alone = np.vstack([target.predict_proba([text]) for text in texts])
    apart = np.abs(target.predict_proba(texts) - alone).max(axis=1)
    assert (np.median(apart) < 1e-6) == (engine != "onnx-int8-dynamic")


@pytest.mark.parametrize("engine", ["onnx-int8", "onnx-int8-dynamic", "openvino-int8"])
def test_int8_weights_are_really_int8(compiled: dict[str, Any], engine: str) -> None:
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
            node.get_friendly_name(): int(np.prod(node.shape))
            for node in constants
            if node.get_element_type().get_type_name() in ("i8", "u8")
        }
    assert sum(sizes.values()) >= 3 * (4 * 32 * 32 + 2 * 32 * 64)
    assert compiled["measured"][engine]["agreement"]["value"] >= 0.85


@pytest.mark.parametrize("engine", ENGINES)
def test_a_compiled_bundle_names_its_parent_and_no_path_of_the_machine(compiled: dict[str, Any], engine: str) -> None:
    folder: Path = compiled["folder"] / f"pruned-{engine}"
    manifest = read_manifest(folder)
    assert (manifest.name, manifest.parent) == (f"pruned-{engine}", "pruned")
    assert manifest.precision == engine.partition("-")[2]
    here = [str(compiled["folder"]).encode(), str(Path(__file__).parents[2]).encode(), b"site-packages"]
    for file in folder.iterdir():
        data = file.read_bytes()
        assert not any(path in data for path in here), file.name


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bundle_says_the_same_whatever_the_number_of_cores(compiled: dict[str, Any], engine: str) -> None:
    texts = reviews(12, 7)["text"].tolist()
    one, two, all_there_are = (
        load(compiled["folder"] / f"pruned-{engine}", n_threads).predict_proba(texts) for n_threads in (1, 2, 0)
    )
    np.testing.assert_allclose(two, one, atol=1e-5)
    np.testing.assert_allclose(all_there_are, one, atol=1e-5)


@pytest.mark.deep
def test_openvino_gives_operations_back_until_int8_agrees_with_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    source = torch_bundle(tmp_path, "pruned", n_layers=1)
    pool = reviews(400, 3)["text"].drop_duplicates().reset_index(drop=True)
    model, facts = load_model(source)
    logits = logits_of(model, encode(load_tokenizer(source, 32), pool.tolist()))
    with torch.no_grad():  # no class is preferred, so that the texts chosen next lie close to the boundary
        model.classifier.bias[0] -= float(np.median(logits[:, 0] - logits[:, 1]))
    save_model(model, source, tmp_path / "undecided", facts)
    margin = np.abs(np.diff(load(tmp_path / "undecided", 1).predict_proba(pool.tolist()))[:, 0])
    texts = pool[np.argsort(margin, kind="stable")[:40]]
    asked = PARAMS.model_copy(update={"min_agreement": 0.9})
    calibration = reviews(16, 4)["text"]
    measured: dict[str, Any] = export.run(
        tmp_path / "undecided", tmp_path / "held", "openvino-int8", calibration, texts, asked
    )
    assert measured["agreement_uncontrolled"] < 0.9 <= measured["agreement"]["value"]
    assert "full precision" in capsys.readouterr().out


@pytest.mark.deep
def test_an_architecture_without_a_fused_graph_is_traced(compiled: dict[str, Any], tmp_path: Path) -> None:
    from ratchet.engines.kinds import onnx as engine

    model, _ = load_model(compiled["source"])
    import onnx

    tokenizer = load_tokenizer(compiled["source"], 32)
    tokens, seen = (encode(tokenizer, reviews(n, seed)["text"].tolist()) for n, seed in ((12, 7), (16, 4)))
    for precision in get_args(Format)[:3]:
        engine._save_traced(model.eval(), tmp_path / f"{precision}.onnx", precision, seen)
        traced = onnx.load(tmp_path / f"{precision}.onnx")
        assert len(traced.graph.node) > 100
        heads = [t.data_type for t in traced.graph.initializer if "classifier." in t.name]
        assert set(heads) == {onnx.TensorProto.FLOAT}
        together, alone = run_graph(traced, tokens, 1), run_graph(traced, tokens, 1, batch_size=1)
        np.testing.assert_allclose(together, logits_of(model, tokens), atol=1e-4 if precision == "fp32" else 1.0)
        apart = np.abs(together - alone).max(axis=1)
        assert (np.median(apart) < 1e-4) == (precision != "int8-dynamic")
    model.config.hidden_act = "relu"
    unsupported: Any = model
    with pytest.raises(ParamsError, match="needs a fused graph"):
        engine.compile_model(unsupported, tmp_path, "int4", Compilation([]))


def test_int8_reports_what_each_matrix_costs(compiled: dict[str, Any]) -> None:
    measured = compiled["measured"]["onnx-int8"]["sensitivity"]
    assert len(measured) == 2 + 3 * 4
    assert "sensitivity" not in compiled["measured"]["onnx-fp32"]


def test_the_same_source_compiles_to_the_same_bytes(compiled: dict[str, Any], tmp_path: Path) -> None:
    texts, calibration = reviews(4, 3)["text"], reviews(16, 4)["text"]
    for engine in ("onnx-int8", "onnx-int8-dynamic", "openvino-int8"):
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


def test_a_large_vocabulary_is_cut_to_the_task_s_texts_before_compiling(tmp_path: Path) -> None:
    source = torch_bundle(tmp_path, backbone=word_pieces)
    texts = reviews(40, 3)["text"]
    assert export.with_task_vocabulary(source, tmp_path / "cut", texts.tolist(), 0) == source
    assert export.with_task_vocabulary(source, tmp_path / "cut", texts.tolist(), 1000) == source
    cut = export.with_task_vocabulary(source, tmp_path / "cut", texts.tolist(), 70)
    model, manifest = load_model(cut)
    assert model.config.vocab_size == 70 < load_model(source)[0].config.vocab_size
    assert manifest.model_dump(exclude={"files"}) == read_manifest(source).model_dump(exclude={"files"})
    target = tmp_path / "teacher-onnx-fp32"
    report = export.run(cut, target, "onnx-fp32", texts.head(8), texts, PARAMS, whole=source)
    assert report["agreement"]["value"] == 1.0
    assert report["size_mb"] < report["size_mb_before"]
    assert read_manifest(target).parent == "teacher"
