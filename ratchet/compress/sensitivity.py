"""Calibration of activation ranges on typical texts, and the quantization sensitivity of each matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.fused_graph import build_graph, is_supported, matrix_names
from ratchet.compress.graph_session import run_graph
from ratchet.compress.graph_writer import Plan
from ratchet.models.batching import Tokens
from ratchet.models.forward import logits_of

TAIL = 1e-4
"""Share of activations at each end that may fall outside of the measured range."""


def input_ranges(model: Any, texts: Sequence[Tokens]) -> dict[str, tuple[float, float]]:
    """The range of each matrix's inputs over the texts, by name, without the rarest values at both ends; it holds 0.

    Quantiles instead of extremes: one outlier would take the resolution from all others.
    """
    import torch

    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name in matrix_names(model)}

    def watch(name: str) -> Any:
        def hook(_module: Any, inputs: tuple[Any, ...]) -> None:
            values = inputs[0].detach().float()
            seen[name].append(torch.quantile(values.flatten()[:1_000_000], torch.tensor([TAIL, 1 - TAIL])).numpy())

        return hook

    hooks = [part.register_forward_pre_hook(watch(name)) for name, part in _modules(model).items()]
    try:
        logits_of(model, texts)
    finally:
        for handle in hooks:
            handle.remove()
    ends = {name: np.stack(values) for name, values in seen.items()}
    return {name: (min(0.0, float(v[:, 0].min())), max(0.0, float(v[:, 1].max()))) for name, v in ends.items()}


def sensitivity(model: Any, texts: Sequence[Tokens], n_threads: int) -> dict[str, float]:
    """Quantization sensitivity: mean change of the logits when one matrix alone is int8; 0: none.

    The embeddings in 8 and in 4 bits come first. Empty for an architecture without a fused graph.
    """
    if not is_supported(model) or not texts:
        return {}
    before, ranges = run_graph(build_graph(model, Plan("fp32")), texts, n_threads), input_ranges(model, texts)
    plans: dict[str, Plan] = {"embeddings-int8": Plan("fp32", 8), "embeddings-int4": Plan("fp32", 4)}
    plans |= {name: Plan("fp32", exceptions={name: "int8"}, ranges=ranges) for name in matrix_names(model)}
    return {
        name: float(np.abs(run_graph(build_graph(model, plan), texts, n_threads) - before).mean())
        for name, plan in plans.items()
    }


def _modules(model: Any) -> dict[str, Any]:
    """The module in front of which each matrix's input can be seen, by `matrix_names`."""
    found: dict[str, Any] = {}
    for index, layer in enumerate(model.base_model.encoder.layer):
        found[f"layer{index}.attention"] = layer.attention.self.query
        found[f"layer{index}.attention_output"] = layer.attention.output.dense
        found[f"layer{index}.feed_forward"] = layer.intermediate.dense
        found[f"layer{index}.feed_forward_output"] = layer.output.dense
    return found
