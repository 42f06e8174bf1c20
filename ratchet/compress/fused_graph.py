"""A BERT classifier as an ONNX graph of ONNX Runtime's fused operators, written node by node.

A traced graph has some 50 nodes a layer, and ONNX Runtime's fusions do not recognise the attention of the current
tracer; written directly, a layer has 8 or 10. Two things a tracer cannot know are used as well: a classifier that pools
by the first token needs nothing else of its last layer; and every matrix can have number formats of its own.

Source: operators of the domain com.microsoft, https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ratchet.compress.graph_writer import CONTRIB, Graph, Plan, to_numpy
from ratchet.compress.integers import per_channel
from ratchet.errors import BundleError


def is_supported(model: Any) -> bool:
    """Whether this module can write the encoder or classifier: BERT, absolute positions, GELU, no adapters."""
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
    return [f"layer{index}.{part}" for index in layers for part in parts]


def build_graph(model: Any, plan: Plan) -> Any:
    """The classifier as an ONNX model: `input_ids` and `attention_mask`, int64 (batch, tokens), to `logits`.

    Raises:
        BundleError: the model is none that `is_supported`.
    """
    if not is_supported(model):
        raise BundleError(
            "There is no fused graph for this architecture.",
            got=type(model).__name__,
            expected="a BERT classifier with absolute positions and GELU",
        )
    graph, first = Graph(plan), model.config.pooling == "first"
    features = _pooled(graph, _encoder(graph, model.base_model, first_token_only=first), first_token_only=first)
    # the norm of the features is multiplied into the head
    weight, bias = to_numpy(model.classifier.weight).T * model.config.feature_norm, to_numpy(model.classifier.bias)
    graph.add(
        "Gemm",
        [features, graph.constant("classifier.weight", weight), graph.constant("classifier.bias", bias)],
        output="logits",
    )
    return graph.finish("logits", ["batch", int(model.config.num_labels)])


def build_encoder(model: Any) -> Any:
    """The encoder in fp32: `input_ids` and `attention_mask`, int64 (batch, tokens), to `hidden`, of
    shape (batch, tokens, width).

    Raises:
        BundleError: the model is none that `is_supported`.
    """
    if not is_supported(model):
        raise BundleError(
            "There is no fused graph for this architecture.",
            got=type(model).__name__,
            expected="a BERT encoder with absolute positions and GELU",
        )
    graph = Graph(Plan("fp32"))
    graph.add("Identity", [_encoder(graph, model.base_model, first_token_only=False)], output="hidden")
    return graph.finish("hidden", ["batch", "tokens", int(model.config.hidden_size)])


def _encoder(graph: Graph, base: Any, *, first_token_only: bool) -> str:
    """The last hidden states, (batch, tokens, hidden), or those of the first token alone, (batch, 1, hidden)."""
    mask = graph.add("Cast", ["attention_mask"], to=6)  # int32
    epsilon, layers = float(base.config.layer_norm_eps), base.encoder.layer
    hidden = _embed(graph, base.embeddings, epsilon)
    for index, layer in enumerate(layers):
        alone = first_token_only and index == len(layers) - 1
        hidden = _layer(graph, f"layer{index}", layer, hidden, mask, epsilon, first_token_only=alone)
    return hidden


def _pooled(graph: Graph, hidden: str, *, first_token_only: bool) -> str:
    """The mean of hidden states over the mask, or the first one, as a unit vector, (batch, hidden).

    0 where the mask is empty; in fp32 under every plan. The sum stands for the mean: the norm divides by the number of
    tokens too.
    """
    weight = graph.add("Cast", ["attention_mask"], to=1)  # (batch, tokens)
    if first_token_only:
        ends = [graph.constant(f"pooling.{name}", np.array([at], np.int64)) for name, at in (("from", 0), ("to", 1))]
        weight = graph.add("Slice", [weight, *ends, ends[1]])
    axis = graph.constant("pooling.axis", np.array([1], np.int64))
    total = graph.add("MatMul", [graph.add("Unsqueeze", [weight, axis]), hidden])  # (batch, 1, hidden)
    return graph.add("LpNormalization", [graph.add("Squeeze", [total, axis])], axis=-1, p=2)


def _embed(graph: Graph, embeddings: Any, epsilon: float) -> str:
    """Token plus position plus the one token type there is, normalised: (batch, tokens, hidden)."""
    positions = to_numpy(embeddings.position_embeddings.weight) + to_numpy(embeddings.token_type_embeddings.weight)[:1]
    words = graph.rows("words", to_numpy(embeddings.word_embeddings.weight), "input_ids")
    n_tokens = graph.add("Shape", ["input_ids"], start=1, end=2)
    zero = graph.constant("zero", np.array([0], np.int64))
    table = graph.constant("positions", positions.astype(np.float16 if graph.plan.embedding_bits < 32 else np.float32))
    places = graph.add("Slice", [table, zero, n_tokens, zero])  # (tokens, hidden)
    if graph.plan.embedding_bits < 32:
        places = graph.add("Cast", [places], to=1)
    return graph.skip_norm("embeddings", words, places, embeddings.LayerNorm, epsilon)


def _layer(
    graph: Graph, name: str, layer: Any, hidden: str, mask: str, epsilon: float, *, first_token_only: bool
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


def _attention(graph: Graph, name: str, attention: Any, hidden: str, mask: str) -> str:
    """Self-attention of all tokens, its three projections in one matrix."""
    parts = [attention.query, attention.key, attention.value]
    weight = np.concatenate([to_numpy(part.weight) for part in parts])  # (3 × heads × head size, hidden)
    bias = graph.constant(f"{name}.bias", np.concatenate([to_numpy(part.bias) for part in parts]))
    n_heads, kind = attention.num_attention_heads, graph.plan.format_of(name)
    if kind in ("int8", "int8-dynamic"):
        values, scale = per_channel(weight)
        quantized, a_scale, a_zero = graph.quantized(name, hidden)
        zeros = graph.constant(f"{name}.zero", np.zeros(len(scale), np.int8))
        inputs = [
            quantized,
            graph.constant(f"{name}.weight", values.T),
            bias,
            a_scale,
            graph.constant(f"{name}.scale", scale),
            mask,
            a_zero,
            zeros,
        ]
        return graph.add("QAttention", inputs, domain=CONTRIB, num_heads=n_heads)
    if kind == "fp32":
        inputs = [hidden, graph.constant(f"{name}.weight", weight.T), bias, mask]
        return graph.add("Attention", inputs, domain=CONTRIB, num_heads=n_heads)
    mixed = graph.matrix(name, weight, None, hidden)
    query, key, value = graph.split("Split", [mixed], 3, axis=-1, num_outputs=3)
    inputs = [query, key, value, bias, mask]
    return graph.add("MultiHeadAttention", inputs, domain=CONTRIB, num_heads=n_heads)


def _first_token_attention(graph: Graph, name: str, attention: Any, hidden: str, mask: str) -> tuple[str, str]:
    """Attention output of the first token over all tokens, and that token itself: both (batch, 1, hidden)."""
    ends = [graph.constant(f"{name}.{end}", np.array([at], np.int64)) for end, at in (("from", 0), ("to", 1))]
    first = graph.add("Slice", [hidden, *ends, ends[1]])
    sources = np.concatenate([to_numpy(attention.key.weight), to_numpy(attention.value.weight)])
    bias = np.concatenate([to_numpy(attention.key.bias), to_numpy(attention.value.bias)])
    query = graph.matrix(name, to_numpy(attention.query.weight), to_numpy(attention.query.bias), first, part=".query")
    mixed = graph.matrix(name, sources, bias, hidden, part=".key_value")
    key, value = graph.split("Split", [mixed], 2, axis=-1, num_outputs=2)
    inputs = [query, key, value, "", mask]
    mixed = graph.add("MultiHeadAttention", inputs, domain=CONTRIB, num_heads=attention.num_attention_heads)
    return mixed, first
