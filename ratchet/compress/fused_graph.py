"""A BERT classifier as an ONNX graph of ONNX Runtime's fused operators, written node by node.

A traced graph has some 50 nodes a layer, and ONNX Runtime's fusions do not recognise the attention of the current
tracer; written directly, a layer has 6 or 8. Two things a tracer cannot know are used as well: the classifier reads the
first token alone, so the last layer computes nothing but that one; and every matrix can have number formats of its own.

Source: operators of the domain com.microsoft, https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.integers import embedding_block, packed, per_block, per_channel
from ratchet.errors import BundleError

Format = Literal["fp32", "int8", "int8-static", "int4"]
"""fp32; int8 with activations quantized as they come, or with ranges measured before; int4 weights in blocks."""
BLOCK = 32
"""Weights that share a scale in int4 matrices."""
OPSET, CONTRIB, IR_VERSION = 21, "com.microsoft", 10


@dataclass(frozen=True)
class Plan:
    """Which number format each part of the graph has."""

    matrices: Format
    """Of every matrix that `exceptions` does not name."""
    embedding_bits: Literal[32, 8, 4] = 32
    """Of the token and position embeddings."""
    exceptions: Mapping[str, Format] = field(default_factory=dict)
    """Matrices, by the names of `matrix_names`, with a format of their own."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest input of each matrix, as calibration saw them; int8-static needs them."""

    def format_of(self, name: str) -> Format:
        """The format of one matrix."""
        return self.exceptions.get(name, self.matrices)


def is_supported(model: Any) -> bool:
    """Whether this module can write the classifier: BERT, absolute positions, GELU, pooler, no adapters."""
    return is_supported_encoder(model) and getattr(model.base_model, "pooler", None) is not None


def is_supported_encoder(model: Any) -> bool:
    """Whether this module can write the model up to its last hidden states."""
    config = model.config
    return (
        config.model_type == "bert"
        and config.hidden_act == "gelu"
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
        and all(hasattr(layer.output.dense, "weight") for layer in model.base_model.encoder.layer)  # no adapters
    )


def matrix_names(model: Any) -> list[str]:
    """The matrices that can be quantized, in the order of computation."""
    parts = ("attention", "attention_output", "feed_forward", "feed_forward_output")
    layers = range(len(model.base_model.encoder.layer))
    return [*(f"layer{index}.{part}" for index in layers for part in parts), "pooler"]


def build_graph(model: Any, plan: Plan) -> Any:
    """The classifier as an ONNX model: `input_ids` and `attention_mask`, int64 (batch, tokens), to `logits`.

    Raises:
        BundleError: the model is none that `is_supported`.
    """
    if not is_supported(model):
        raise BundleError(
            "There is no fused graph for this architecture.", got=type(model).__name__,
            expected="a BERT classifier with absolute positions and GELU", fix="export it with export.fused: false",
        )  # fmt: skip
    graph, base = _Graph(plan), model.base_model
    hidden = _encoder(graph, base, first_token_only=True)
    first = graph.add("Squeeze", [hidden, graph.constant("first_axis", np.array([1], np.int64))])  # (batch, hidden)
    pooled = graph.add("Tanh", [graph.linear("pooler", base.pooler.dense, first)])
    weight, bias = _numpy(model.classifier.weight).T, _numpy(model.classifier.bias)
    graph.add(
        "Gemm", [pooled, graph.constant("classifier.weight", weight), graph.constant("classifier.bias", bias)],
        output="logits",
    )  # fmt: skip
    return graph.finish("logits", ["batch", int(model.config.num_labels)])


def build_encoder(model: Any) -> Any:
    """The encoder in fp32: `input_ids` and `attention_mask`, int64 (batch, tokens), to `hidden`, of
    shape (batch, tokens, width).

    Raises:
        BundleError: the model is none that `is_supported_encoder`.
    """
    if not is_supported_encoder(model):
        raise BundleError(
            "There is no fused graph for this architecture.", got=type(model).__name__,
            expected="a BERT encoder with absolute positions and GELU",
        )  # fmt: skip
    graph = _Graph(Plan("fp32"))
    graph.add("Identity", [_encoder(graph, model.base_model, first_token_only=False)], output="hidden")
    return graph.finish("hidden", ["batch", "tokens", int(model.config.hidden_size)])


def _encoder(graph: _Graph, base: Any, *, first_token_only: bool) -> str:
    """The last hidden states, (batch, tokens, hidden), or those of the first token alone, (batch, 1, hidden)."""
    mask = graph.add("Cast", ["attention_mask"], to=6)  # int32
    epsilon, layers = float(base.config.layer_norm_eps), base.encoder.layer
    hidden = _embed(graph, base.embeddings, epsilon)
    for index, layer in enumerate(layers):
        alone = first_token_only and index == len(layers) - 1
        hidden = _layer(graph, f"layer{index}", layer, hidden, mask, epsilon, first_token_only=alone)
    return hidden


def _embed(graph: _Graph, embeddings: Any, epsilon: float) -> str:
    """Token plus position plus the one token type there is, normalised: (batch, tokens, hidden)."""
    positions = _numpy(embeddings.position_embeddings.weight) + _numpy(embeddings.token_type_embeddings.weight)[:1]
    words = graph.rows("words", _numpy(embeddings.word_embeddings.weight), "input_ids")
    n_tokens = graph.add("Shape", ["input_ids"], start=1, end=2)
    zero = graph.constant("zero", np.array([0], np.int64))
    table = graph.constant("positions", positions.astype(np.float16 if graph.plan.embedding_bits < 32 else np.float32))
    places = graph.add("Slice", [table, zero, n_tokens, zero])  # (tokens, hidden)
    if graph.plan.embedding_bits < 32:
        places = graph.add("Cast", [places], to=1)
    norm = embeddings.LayerNorm
    summed = graph.add("Add", [words, places])
    return graph.add("LayerNormalization", [summed, *graph.norm("embeddings", norm)], axis=-1, epsilon=epsilon)


def _layer(
    graph: _Graph, name: str, layer: Any, hidden: str, mask: str, epsilon: float, *, first_token_only: bool
) -> str:
    """One encoder layer; of the last one only what the first token needs."""
    attention, output = layer.attention.self, layer.attention.output
    if first_token_only:
        mixed, hidden = _first_token_attention(graph, f"{name}.attention", attention, hidden, mask)
    else:
        mixed = _attention(graph, f"{name}.attention", attention, hidden, mask)
    projected = graph.linear(f"{name}.attention_output", output.dense, mixed)
    hidden = graph.skip_norm(f"{name}.attention_output", projected, hidden, output.LayerNorm, epsilon)
    widened = graph.linear(f"{name}.feed_forward", layer.intermediate.dense, hidden)
    active = graph.add("Gelu", [widened], domain=CONTRIB)
    narrowed = graph.linear(f"{name}.feed_forward_output", layer.output.dense, active)
    return graph.skip_norm(f"{name}.feed_forward_output", narrowed, hidden, layer.output.LayerNorm, epsilon)


def _attention(graph: _Graph, name: str, attention: Any, hidden: str, mask: str) -> str:
    """Self-attention of all tokens, its three projections in one matrix."""
    parts = [attention.query, attention.key, attention.value]
    weight = np.concatenate([_numpy(part.weight) for part in parts])  # (3 × heads × head size, hidden)
    bias = graph.constant(f"{name}.bias", np.concatenate([_numpy(part.bias) for part in parts]))
    n_heads, kind = attention.num_attention_heads, graph.plan.format_of(name)
    if kind in ("int8", "int8-static"):
        values, scale = per_channel(weight)
        quantized, a_scale, a_zero = graph.quantized(name, hidden)
        zeros = graph.constant(f"{name}.zero", np.zeros(len(scale), np.int8))
        inputs = [
            quantized, graph.constant(f"{name}.weight", values.T), bias, a_scale,
            graph.constant(f"{name}.scale", scale), mask, a_zero, zeros,
        ]  # fmt: skip
        return graph.add("QAttention", inputs, domain=CONTRIB, num_heads=n_heads)
    if kind == "fp32":
        inputs = [hidden, graph.constant(f"{name}.weight", weight.T), bias, mask]
        return graph.add("Attention", inputs, domain=CONTRIB, num_heads=n_heads)
    mixed = graph.matrix(name, weight, None, hidden)
    query, key, value = graph.split("Split", [mixed], 3, axis=-1, num_outputs=3)
    inputs = [query, key, value, bias, mask]
    return graph.add("MultiHeadAttention", inputs, domain=CONTRIB, num_heads=n_heads)


def _first_token_attention(graph: _Graph, name: str, attention: Any, hidden: str, mask: str) -> tuple[str, str]:
    """What the first token takes from all tokens, and that token itself: both (batch, 1, hidden)."""
    ends = [graph.constant(f"{name}.{end}", np.array([at], np.int64)) for end, at in (("from", 0), ("to", 1))]
    first = graph.add("Slice", [hidden, *ends, ends[1]])
    sources = np.concatenate([_numpy(attention.key.weight), _numpy(attention.value.weight)])
    bias = np.concatenate([_numpy(attention.key.bias), _numpy(attention.value.bias)])
    query = graph.matrix(name, _numpy(attention.query.weight), _numpy(attention.query.bias), first, part=".query")
    mixed = graph.matrix(name, sources, bias, hidden, part=".key_value")
    key, value = graph.split("Split", [mixed], 2, axis=-1, num_outputs=2)
    inputs = [query, key, value, "", mask]
    mixed = graph.add("MultiHeadAttention", inputs, domain=CONTRIB, num_heads=attention.num_attention_heads)
    return mixed, first


class _Graph:
    """Nodes and constants as they are added; names count up, so that the same model gives the same bytes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant by its name; the same name again is the same constant."""
        from onnx import numpy_helper

        self._constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op: str, inputs: list[str], *, output: str = "", domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        output = output or f"{op}_{len(self._nodes)}"
        return self._add(op, inputs, [output], domain, attributes)[0]

    def split(self, op: str, inputs: list[str], n_outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs; their names."""
        return self._add(op, inputs, [f"{op}_{len(self._nodes)}_{index}" for index in range(n_outputs)], "", attributes)

    def _add(
        self, op: str, inputs: list[str], outputs: list[str], domain: str, attributes: dict[str, Any]
    ) -> list[str]:
        from onnx import helper

        name = f"{op}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs

    def norm(self, name: str, norm: Any) -> list[str]:
        """The scale and shift of a layer normalisation."""
        return [
            self.constant(f"{name}.norm.{part}", _numpy(value))
            for part, value in (("weight", norm.weight), ("bias", norm.bias))
        ]

    def skip_norm(self, name: str, new: str, old: str, norm: Any, epsilon: float) -> str:
        """The layer normalisation of a sum."""
        inputs = [new, old, *self.norm(name, norm)]
        return self.add("SkipLayerNormalization", inputs, domain=CONTRIB, epsilon=epsilon)

    def rows(self, name: str, table: NDArray[np.float32], indices: str) -> str:
        """Rows of an embedding table: (batch, tokens, hidden)."""
        bits = self.plan.embedding_bits
        if bits == 32:
            return self.add("Gather", [self.constant(f"{name}.table", table), indices])
        block = embedding_block(table.shape[1])
        values, scale = per_block(table, bits, block)
        data = self.constant(f"{name}.table", packed(values.reshape(len(table), -1), bits))
        inputs = [data, indices, self.constant(f"{name}.scale", scale)]
        return self.add(
            "GatherBlockQuantized", inputs, domain=CONTRIB, bits=bits, block_size=block, gather_axis=0, quantize_axis=1
        )

    def linear(self, name: str, layer: Any, x: str) -> str:
        """A linear layer."""
        return self.matrix(name, _numpy(layer.weight), _numpy(layer.bias), x)

    def quantized(self, name: str, x: str) -> list[str]:
        """Activations as uint8, their scale and zero point: measured as they come, or fixed by calibration."""
        if self.plan.format_of(name) == "int8":
            return self.split("DynamicQuantizeLinear", [x], 3)
        lowest, highest = self.plan.ranges[name]
        scale = np.float32(max(highest - lowest, 1e-6) / 255)
        zero = np.uint8(np.clip(round(-lowest / float(scale)), 0, 255))
        ends: dict[str, NDArray[Any]] = {"scale": np.asarray(scale), "zero": np.asarray(zero)}
        names = [self.constant(f"{name}.input_{part}", value) for part, value in ends.items()]
        return [self.add("QuantizeLinear", [x, *names]), *names]

    def matrix(
        self, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None, x: str, part: str = ""
    ) -> str:
        """x · weightᵀ + bias in the format of the plan; `weight`: (n_outputs, n_inputs)."""
        kind, whole = self.plan.format_of(name), name + part
        last = [] if bias is None else [self.constant(f"{whole}.bias", bias)]
        if kind == "fp32":
            product = self.add("MatMul", [x, self.constant(f"{whole}.weight", weight.T)])
            return self.add("Add", [product, *last]) if last else product
        if kind == "int4":
            return self._int4(whole, weight, last, x)
        values, scale = per_channel(weight)
        names = [self.constant(f"{whole}.weight", values.T), self.constant(f"{whole}.scale", scale)]
        if kind == "int8":
            return self.add("DynamicQuantizeMatMul", [x, *names, "", *last], domain=CONTRIB)
        quantized, a_scale, a_zero = self.quantized(name, x)
        inputs = [quantized, names[0], a_scale, names[1], a_zero, "", *last]
        return self.add("MatMulIntegerToFloat", inputs, domain=CONTRIB)

    def _int4(self, name: str, weight: NDArray[np.float32], last: list[str], x: str) -> str:
        values, scale = per_block(weight, 4, BLOCK)
        inputs = [x, self.constant(f"{name}.weight", packed(values, 4)), self.constant(f"{name}.scale", scale)]
        return self.add(
            "MatMulNBits", [*inputs, *(["", "", *last] if last else [])], domain=CONTRIB, bits=4, block_size=BLOCK,
            K=weight.shape[1], N=weight.shape[0], accuracy_level=4,
        )  # fmt: skip

    def finish(self, output: str, shape: list[str | int]) -> Any:
        """The whole model with its one output."""
        from onnx import TensorProto, helper

        names, asked = ("input_ids", "attention_mask"), ["batch", "tokens"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, asked) for name in names]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "classifier", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ratchet")


def _numpy(parameter: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = parameter.detach().cpu().float().numpy()
    return values
