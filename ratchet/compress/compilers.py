"""Inference compilers: a PyTorch bundle to ONNX Runtime or OpenVINO, in fp32 and with post-training integers.

For ONNX Runtime a BERT classifier becomes the fused graph of `fused_graph`; any other architecture is traced.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast, get_args

from ratchet.compress.accuracy_control import Agreement, quantize_within
from ratchet.compress.fused_graph import build_graph, is_supported
from ratchet.compress.graph_writer import Format, Plan
from ratchet.compress.sensitivity import input_ranges
from ratchet.errors import ParamsError
from ratchet.models.batching import Tokens, pad
from ratchet.models.bundle import Kind, Manifest, write_bundle
from ratchet.models.checkpoint import copy_tokenizer, load_model

Engine = Literal["onnx-fp32", "onnx-int8", "onnx-int8-dynamic", "onnx-int4", "openvino-fp32", "openvino-int8"]
EmbeddingBits = Literal[8, 4]


def export(
    source: Path,
    target: Path,
    engine: Engine,
    calibration: Sequence[Tokens],
    params_sha256: str,
    embedding_bits: EmbeddingBits = 8,
    held_to: Agreement | None = None,
) -> Manifest:
    """Compile a PyTorch bundle into a new bundle.

    Args:
        source: the full-precision bundle.
        target: where the new bundle goes.
        engine: the runtime and the number format of the weights. int8: ranges of activations come from calibration, so
            that a text gets the same answer in any company; int8-dynamic: from each batch; int4: weights alone, in
            blocks.
        calibration: token ids of typical texts, over which the ranges of activations are measured.
        params_sha256: hash of the params block, for the manifest.
        embedding_bits: of the embeddings in a fused graph whose matrices are integers.
        held_to: where given, OpenVINO's int8 gives operations back to full precision until it agrees with the source.

    Raises:
        ParamsError: an engine there is none of, or one that needs a fused graph where there is none.
    """
    if engine not in get_args(Engine):
        raise ParamsError("There is no such engine.", got=engine, expected=", ".join(get_args(Engine)))
    model, parent = load_model(source)
    runtime, _, precision = engine.partition("-")
    kind: Kind = "onnx" if runtime == "onnx" else "openvino"
    manifest = parent.model_copy(
        update={
            "name": f"{parent.name}-{engine}",
            "kind": kind,
            "precision": precision,
            "parent": parent.name,
            "params_sha256": params_sha256,
        }
    )

    def save(folder: Path) -> None:
        if kind == "onnx":
            _save_onnx(model.eval(), folder / "model.onnx", cast(Format, precision), embedding_bits, calibration)
        else:
            _save_openvino(source, folder, calibration if precision == "int8" else None, held_to)
        copy_tokenizer(source, folder)

    return write_bundle(target, manifest, save)


def _save_onnx(
    model: Any, path: Path, precision: Format, embedding_bits: EmbeddingBits, calibration: Sequence[Tokens]
) -> None:
    """The fused graph; where there is none for the architecture, a trace."""
    import onnx

    if is_supported(model):
        ranges = input_ranges(model, calibration) if precision == "int8" else {}
        plan = Plan(precision, 32 if precision == "fp32" else embedding_bits, ranges=ranges)
        onnx.save(build_graph(model, plan), path)
    elif precision != "int4":
        _save_traced(model, path, precision, calibration)
    else:
        raise ParamsError(
            "This number format needs a fused graph, and there is none for this architecture.",
            got=f"onnx-{precision} of {type(model).__name__}",
            expected="onnx-fp32, onnx-int8 or onnx-int8-dynamic",
            fix="take the engine out of the matrix of `export` in dvc.yaml",
        )


def _save_traced(model: Any, path: Path, precision: Format, calibration: Sequence[Tokens]) -> None:
    """Trace with dynamic batch and length; int8 quantizes weights per channel, activations by calibration or batch.

    `reduce_range` keeps 7 bits: without VNNI, sums of two 8-bit products overflow 16 bits and accuracy is lost.
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

    options: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul", "Gemm", "Gather"],
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
    }
    with tempfile.TemporaryDirectory() as folder, _quiet():
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
    with _quiet():
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


def _save_openvino(source: Path, folder: Path, calibration: Sequence[Tokens] | None, held_to: Agreement | None) -> None:
    """Convert through Optimum; with calibration texts, quantize weights and activations (NNCF).

    The overflow fix keeps 7 bits for the same reason as ONNX Runtime's `reduce_range`.
    """
    with _quiet():
        from optimum.exporters.openvino import export_from_model
        from optimum.intel import OVConfig, OVModelForSequenceClassification, OVQuantizationConfig, OVQuantizer

        with tempfile.TemporaryDirectory() as exported:  # from the loaded model: a narrow one only we can load
            export_from_model(model=load_model(source)[0], output=exported, task="text-classification", stateful=False)
            model = OVModelForSequenceClassification.from_pretrained(
                exported, export=False, compile=False, local_files_only=True, load_in_8bit=False
            )
        names = {port.get_any_name() for port in model.model.inputs}
        if calibration is not None and held_to is not None:
            feeds, compared = ([_feed(item, names) for item in texts] for texts in (calibration, held_to.texts))
            model.model = quantize_within(model.model, feeds, compared, held_to.at_least)
        elif calibration is not None:
            import nncf

            config = OVQuantizationConfig(bits=8, num_samples=len(calibration), overflow_fix="enable")
            OVQuantizer.from_pretrained(model).quantize(
                calibration_dataset=nncf.Dataset([_feed(item, names) for item in calibration]),
                ov_config=OVConfig(quantization_config=config),
            )
        _name_by_position(model.model)
        model.save_pretrained(folder)


def _name_by_position(graph: Any) -> None:
    """Name the nodes by their place: OpenVINO numbers them by a counter of the process, and bytes would differ."""
    graph.set_friendly_name("classifier")
    for index, node in enumerate(graph.get_ordered_ops()):
        if node.get_type_name() != "Parameter":
            node.set_friendly_name(f"{node.get_type_name()}_{index}")


def _feed(tokens: Tokens, names: set[str]) -> dict[str, Any]:
    """One text as the inputs a graph asks for, each (1, tokens)."""
    ids, mask = pad([tokens])
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
    return {name: value for name, value in feed.items() if name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Compilers announce at length what they skip and deprecate; their errors still come through."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
