"""ONNX Runtime: a BERT classifier becomes the fused graph of `fused_graph`; any other architecture is traced."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.compilers import Compilation, quiet
from ratchet.compress.fused_graph import build_graph, is_supported
from ratchet.compress.graph_session import open_session
from ratchet.compress.graph_writer import Format, Plan
from ratchet.compress.sensitivity import input_ranges
from ratchet.errors import ParamsError
from ratchet.models.batching import Tokens, pad
from ratchet.models.bundle import Manifest
from ratchet.models.predictor import Predictor, TokenPredictor

FORMATS: tuple[str, ...] = get_args(Format)
HEAD = "classifier."
"""In the names of the weights of the head."""
PACKAGES = ("onnxruntime", "onnx", "tokenizers")


def load(path: Path, manifest: Manifest, n_threads: int, batch_size: int) -> Predictor:
    """The verified bundle at `path` as a predictor."""
    return OnnxPredictor(manifest, path, n_threads, batch_size)


class OnnxPredictor(TokenPredictor):
    """ONNX Runtime on the CPU. Its threads spin for 50 µs between operators, then sleep."""

    SPIN_US = 50
    """Microseconds that a waiting thread keeps its core: waking it would take as long as many an operator, and a longer
    wait would take the core from others."""

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int, spin_us: int = SPIN_US) -> None:
        super().__init__(manifest, path, batch_size)
        self._session = open_session(str(path / "model.onnx"), n_threads, spin_us)

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]
        return logits


def compile_model(model: Any, folder: Path, number_format: Format, compilation: Compilation) -> None:
    """Write `model.onnx`: the fused graph; where there is none for the architecture, a trace.

    int8: ranges of activations come from calibration, so that a text gets the same answer in any company;
    int8-dynamic: from each batch; int4: weights alone, in blocks, in a fused graph only.
    """
    import onnx

    path = folder / "model.onnx"
    if is_supported(model):
        ranges = input_ranges(model, compilation.calibration) if number_format == "int8" else {}
        plan = Plan(number_format, 32 if number_format == "fp32" else compilation.embedding_bits, ranges=ranges)
        onnx.save(build_graph(model, plan), path)
    elif number_format != "int4":
        _save_traced(model, path, number_format, compilation.calibration)
    else:
        raise ParamsError(
            "This number format needs a fused graph, and there is none for this architecture.",
            got=f"onnx-{number_format} of {type(model).__name__}",
            expected="onnx-fp32, onnx-int8 or onnx-int8-dynamic",
            fix="take the engine out of the matrix of `export` in dvc.yaml",
        )


def _save_traced(model: Any, path: Path, precision: Format, calibration: Sequence[Tokens]) -> None:
    """Trace with dynamic batch and length; int8 quantizes weights per channel, activations by calibration or batch.

    `reduce_range` keeps 7 bits: without VNNI, sums of two 8-bit products overflow 16 bits and accuracy is lost. Pooling
    and head stay in fp32, as in the fused graph.
    """
    import onnx

    graph = _trace(model)
    if precision == "fp32":
        onnx.save(graph, path)
        return
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    class Texts(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds = (dict(zip(("input_ids", "attention_mask"), pad([text]), strict=True)) for text in calibration)

        def get_next(self) -> Any:
            return next(self._feeds, None)

    heads = [node.name for node in graph.graph.node if any(HEAD in name for name in node.input)]
    options: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul", "Gemm", "Gather"],
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
        "nodes_to_exclude": [
            *heads,
            *(f"{name}_MatMul" for name in heads),
        ],  # which the dynamic quantizer makes of Gemm
    }
    with tempfile.TemporaryDirectory() as folder, quiet():
        raw = Path(folder) / "model.onnx"
        onnx.save(graph, raw)
        if precision == "int8":
            extra = {"MatMulConstBOnly": True}
            quantize_static(raw, path, Texts(), activation_type=QuantType.QUInt8, extra_options=extra, **options)
        else:
            quantize_dynamic(raw, path, **options)


def _trace(model: Any) -> Any:
    """The model as an ONNX graph without the tracer's remarks, which hold paths of the machine."""
    import torch

    class Logits(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.inner(input_ids=input_ids, attention_mask=attention_mask).logits

    ids, mask = (torch.from_numpy(array) for array in pad([[101, 2023, 2003, 102], [101, 102]]))
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=_longest(model))}
    with quiet():
        program = torch.onnx.export(
            Logits(model),
            (ids, mask),
            dynamo=True,
            dynamic_shapes=(shape, shape),
            verbose=False,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
        )
    proto = program.model_proto  # type: ignore[union-attr]
    graph = proto.graph
    for item in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del item.metadata_props[:]
        item.ClearField("doc_string")
    return proto


def _longest(model: Any) -> int:
    """The longest text the model's position embeddings allow, in tokens."""
    return int(getattr(model.config, "max_position_embeddings", 512))
