"""Writer of ONNX graphs, node by node: constants, and matrices in the number format that a plan gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.integers import embedding_block, packed, per_block, per_channel

Format = Literal["fp32", "int8", "int8-dynamic", "int4"]
"""fp32; int8 with ranges of activations measured before, or of each batch as it comes; int4 weights in blocks."""
BLOCK = 32
"""Weights that share a scale in int4 matrices."""
OPSET, CONTRIB, IR_VERSION = 21, "com.microsoft", 10


@dataclass(frozen=True)
class Plan:
    """Number format of each part of the graph."""

    matrices: Format
    """Of every matrix that `exceptions` does not name."""
    embedding_bits: Literal[32, 8, 4] = 32
    """Of the token and position embeddings."""
    exceptions: Mapping[str, Format] = field(default_factory=dict)
    """Matrices, by the names of `matrix_names`, with a format of their own."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest input of each matrix, as calibration saw them; int8 needs them."""

    def format_of(self, name: str) -> Format:
        """The format of one matrix."""
        return self.exceptions.get(name, self.matrices)


class Graph:
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
            self.constant(f"{name}.norm.{part}", to_numpy(value))
            for part, value in (("weight", norm.weight), ("bias", norm.bias))
        ]

    def skip_norm(self, name: str, new: str, old: str, norm: Any, epsilon: float) -> str:
        """The layer normalisation of a sum: as two operators, since the CPU's fused one takes twice their time."""
        summed = self.add("Add", [new, old])
        return self.add("LayerNormalization", [summed, *self.norm(name, norm)], axis=-1, epsilon=epsilon)

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
        return self.matrix(name, to_numpy(layer.weight), to_numpy(layer.bias), x)

    def quantized(self, name: str, x: str) -> list[str]:
        """Activations as uint8, their scale and zero point: fixed by calibration, or measured as they come."""
        if self.plan.format_of(name) == "int8-dynamic":
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
        if kind == "int8-dynamic":
            return self.add("DynamicQuantizeMatMul", [x, *names, "", *last], domain=CONTRIB)
        quantized, a_scale, a_zero = self.quantized(name, x)
        inputs = [quantized, names[0], a_scale, names[1], a_zero, "", *last]
        return self.add("MatMulIntegerToFloat", inputs, domain=CONTRIB)

    def _int4(self, name: str, weight: NDArray[np.float32], last: list[str], x: str) -> str:
        values, scale = per_block(weight, 4, BLOCK)
        inputs = [x, self.constant(f"{name}.weight", packed(values, 4)), self.constant(f"{name}.scale", scale)]
        return self.add(
            "MatMulNBits",
            [*inputs, *(["", "", *last] if last else [])],
            domain=CONTRIB,
            bits=4,
            block_size=BLOCK,
            K=weight.shape[1],
            N=weight.shape[0],
            accuracy_level=4,
        )

    def finish(self, output: str, shape: list[str | int]) -> Any:
        """The whole model with its one output."""
        from onnx import TensorProto, helper

        names, asked = ("input_ids", "attention_mask"), ["batch", "tokens"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, asked) for name in names]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self._nodes, "classifier", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ratchet")


def to_numpy(parameter: Any) -> NDArray[np.float32]:
    """A parameter's values in 32 bits."""
    values: NDArray[np.float32] = parameter.detach().cpu().float().numpy()
    return values
