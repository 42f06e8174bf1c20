"""Fused graphs that compute what PyTorch computes, with integers where the plan says so."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.compress.fused_graph import build_graph, is_supported, matrix_names
from ratchet.compress.graph_session import fused_logits, open_session, run_graph
from ratchet.compress.graph_writer import Format, Plan
from ratchet.compress.integers import packed, per_block, per_channel
from ratchet.compress.sensitivity import input_ranges, sensitivity
from ratchet.errors import BundleError
from ratchet.models.checkpoint import load_model
from ratchet.models.forward import logits_of
from tests.support.bundles import torch_bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(torch_bundle(tmp_path_factory.mktemp("fused")))[0]


@pytest.fixture(scope="module")
def texts() -> list[list[int]]:
    """Token ids of texts between 3 and 40 tokens long, so that batches are padded."""
    rng = np.random.default_rng(3)
    return [[2, *rng.integers(5, 29, length).tolist(), 3] for length in rng.integers(1, 39, 50)]


def test_the_graph_in_fp32_is_the_model(model: Any, texts: list[list[int]]) -> None:
    graph = build_graph(model, Plan("fp32"))
    np.testing.assert_allclose(run_graph(graph, texts, 1), logits_of(model, texts), atol=2e-5)
    np.testing.assert_allclose(run_graph(graph, texts, 1, batch_size=1), logits_of(model, texts), atol=2e-5)
    np.testing.assert_allclose(fused_logits(model, texts, 1), logits_of(model, texts), atol=2e-5)
    assert fused_logits(model, [], 1).shape == (0, 2)


def test_what_has_no_graph_is_run_by_pytorch(model: Any, texts: list[list[int]]) -> None:
    import torch

    other = copy.deepcopy(model)
    other.config.hidden_act = "relu"
    for layer in other.base_model.encoder.layer:
        layer.intermediate.intermediate_act_fn = torch.nn.ReLU()
    found = fused_logits(other, texts, 1)
    np.testing.assert_allclose(found, logits_of(other, texts), atol=2e-5)
    assert np.abs(found - logits_of(model, texts)).max() > 1e-3


@pytest.mark.parametrize(
    ("matrices", "bits", "stored", "correlation"),
    [("int8", 8, "INT8", 0.97), ("int8-dynamic", 8, "INT8", 0.98), ("int4", 4, "UINT8", 0.85)],
)
def test_integers_are_stored_and_the_logits_stay_close(
    model: Any, texts: list[list[int]], matrices: Format, bits: Any, stored: str, correlation: float
) -> None:
    import onnx

    ranges = input_ranges(model, texts) if matrices == "int8" else {}
    graph = build_graph(model, Plan(matrices, bits, ranges=ranges))
    kind = getattr(onnx.TensorProto, stored)
    in_integers = sum(int(np.prod(t.dims)) for t in graph.graph.initializer if t.data_type == kind)
    n_matrices = 3 * (4 * 32 * 32 + 2 * 32 * 64)
    assert in_integers >= (n_matrices if matrices != "int4" else n_matrices // 2)
    floats = sum(int(np.prod(t.dims)) for t in graph.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    assert floats < n_matrices / 5
    before, after = logits_of(model, texts), run_graph(graph, texts, 1)
    own, other = (values[:, 1] - values[:, 0] for values in (before, after))
    assert np.corrcoef(own, other)[0, 1] > correlation
    assert np.abs(before - after).max() > 1e-4  # it did something


def test_the_first_token_needs_no_other_of_the_last_layer(model: Any, texts: list[list[int]]) -> None:
    other = copy.deepcopy(model)
    other.config.pooling = "first"
    for pooled, attentions in ((model, (3, 0)), (other, (2, 1))):
        graph = build_graph(pooled, Plan("fp32"))
        names = [node.op_type for node in graph.graph.node]
        assert (names.count("Attention"), names.count("MultiHeadAttention")) == attentions
        assert len(names) < 60  # a trace of this model has more than 160
        np.testing.assert_allclose(run_graph(graph, texts, 1), logits_of(pooled, texts), atol=2e-5)
    assert np.abs(logits_of(other, texts) - logits_of(model, texts)).max() > 0.1


def test_a_text_without_a_token_has_the_bias_of_the_head_as_its_logits(model: Any) -> None:
    graph = build_graph(model, Plan("fp32")).SerializeToString()
    ids = np.full((1, 4), 5, dtype=np.int64)
    (logits,) = open_session(graph, 1).run(None, {"input_ids": ids, "attention_mask": np.zeros_like(ids)})
    np.testing.assert_array_equal(logits[0], model.classifier.bias.detach().numpy())


def test_sensitivity_is_zero_only_where_there_is_nothing_to_round(model: Any, texts: list[list[int]]) -> None:
    import torch

    measured = sensitivity(model, texts[:20], 1)
    assert set(measured) == {"embeddings-int8", "embeddings-int4", *matrix_names(model)}
    assert measured["embeddings-int4"] > measured["embeddings-int8"] > 0
    assert all(value > 0 for value in measured.values())
    weight = model.base_model.encoder.layer[-1].output.dense.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.zero_()
    nothing = sensitivity(model, texts[:20], 1)["layer2.feed_forward_output"]
    with torch.no_grad():
        weight.copy_(kept)
    assert nothing < 1e-6


def test_ranges_hold_zero_and_what_was_seen(model: Any, texts: list[list[int]]) -> None:
    ranges = input_ranges(model, texts)
    assert list(ranges) == matrix_names(model)
    assert all(lowest <= 0 <= highest and lowest < highest for lowest, highest in ranges.values())
    assert ranges["layer0.feed_forward_output"][0] > -0.2  # GELU is never lower than -0.17


def test_an_architecture_without_a_graph_is_refused(model: Any) -> None:
    import copy

    other = copy.deepcopy(model)
    other.config.hidden_act = "relu"
    assert not is_supported(other)
    with pytest.raises(BundleError, match="no fused graph"):
        build_graph(other, Plan("fp32"))


@pytest.mark.parametrize("bits", [4, 8])
def test_blocks_come_back_within_half_a_step(bits: int) -> None:
    weight = np.random.default_rng(bits).normal(size=(7, 70)).astype(np.float32)
    values, scale = per_block(weight, bits, 32)
    assert values.shape == (7, 3, 32)
    back = ((values.astype(np.float32) - 2 ** (bits - 1)) * scale[..., None]).reshape(7, -1)
    # the search may clip the largest of a block, so the bound is on the mean square: step² / 12 of uniform rounding
    steps = np.repeat(scale, 32, axis=1)[:, :70]
    assert np.mean((back[:, :70] - weight) ** 2) < 1.5 * np.mean(steps**2) / 12
    assert np.all(back[:, 70:] == 0)


def test_packing_loses_nothing() -> None:
    values = np.random.default_rng(0).integers(0, 16, (5, 8)).astype(np.uint8)
    stored = packed(values, 4)
    assert stored.shape == (5, 4)
    np.testing.assert_array_equal(np.stack([stored & 15, stored >> 4], axis=-1).reshape(5, 8), values)


def test_the_clipping_search_beats_the_largest_magnitude_on_heavy_tails() -> None:
    weight = np.random.default_rng(1).standard_t(3, size=(20, 400)).astype(np.float32)
    values, scale = per_channel(weight, largest=7)
    naive = np.abs(weight).max(1) / 7
    errors = [
        np.mean((np.clip(np.rint(weight / s[:, None]), -7, 7) * s[:, None] - weight) ** 2) for s in (scale, naive)
    ]
    assert errors[0] < 0.9 * errors[1]
    assert values.dtype == np.int8
    assert np.abs(values).max() <= 7


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        build_graph(load_model(torch_bundle(tmp_path / n))[0], Plan("int8-dynamic", 4)) for n in ("a", "b")
    )
    assert first.SerializeToString() == second.SerializeToString()
