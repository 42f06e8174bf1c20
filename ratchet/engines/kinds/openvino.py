"""OpenVINO, through Optimum: in fp32, and in int8 over calibration texts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.accuracy_control import HEAD, quantize_within
from ratchet.compress.compilers import Compilation, quiet
from ratchet.models.batching import Tokens, pad
from ratchet.models.bundle import Manifest
from ratchet.models.predictor import Predictor, TokenPredictor

FORMATS = ("fp32", "int8")
PACKAGES = ("openvino", "nncf", "optimum-intel", "tokenizers")


def load(path: Path, manifest: Manifest, n_threads: int, batch_size: int) -> Predictor:
    """The verified bundle at `path` as a predictor."""
    return OpenVinoPredictor(manifest, path, n_threads, batch_size)


class OpenVinoPredictor(TokenPredictor):
    """OpenVINO on the CPU, tuned for the latency of one request at a time.

    What is not in integers is computed in 32 bits: on a CPU with bf16 units OpenVINO would take 16 by itself, and the
    bundle that was measured on one machine would be another one on the next.
    """

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int) -> None:
        super().__init__(manifest, path, batch_size)
        import openvino

        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if n_threads:
            config["INFERENCE_NUM_THREADS"] = n_threads
        core = openvino.Core()
        self._model = core.compile_model(str(path / "openvino_model.xml"), "CPU", config)
        self._inputs = {port.get_any_name() for port in self._model.inputs}

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output = self._model({name: value for name, value in feed.items() if name in self._inputs})
        logits: NDArray[np.float32] = output["logits"]
        return logits


def compile_model(model: Any, folder: Path, number_format: str, compilation: Compilation) -> None:
    """Convert a PyTorch classifier through Optimum; for int8, quantize weights and activations (NNCF).

    The overflow fix keeps 7 bits for the same reason as ONNX Runtime's `reduce_range`. Pooling and head stay in fp32.
    """
    calibration = compilation.calibration if number_format == "int8" else None
    held_to = compilation.held_to
    with quiet():
        from optimum.exporters.openvino import export_from_model
        from optimum.intel import OVConfig, OVModelForSequenceClassification, OVQuantizationConfig, OVQuantizer

        with tempfile.TemporaryDirectory() as exported:  # from the loaded model: a narrow one only we can load
            export_from_model(model=model, output=exported, task="text-classification", stateful=False)
            converted = OVModelForSequenceClassification.from_pretrained(
                exported, export=False, compile=False, local_files_only=True, load_in_8bit=False
            )
        names = {port.get_any_name() for port in converted.model.inputs}
        if calibration is not None and held_to is not None:
            feeds, compared = ([_feed(item, names) for item in texts] for texts in (calibration, held_to.texts))
            converted.model = quantize_within(converted.model, feeds, compared, held_to.at_least)
        elif calibration is not None:
            import nncf

            config = OVQuantizationConfig(
                bits=8, num_samples=len(calibration), overflow_fix="enable", ignored_scope={"patterns": [HEAD]}
            )
            OVQuantizer.from_pretrained(converted).quantize(
                calibration_dataset=nncf.Dataset([_feed(item, names) for item in calibration]),
                ov_config=OVConfig(quantization_config=config),
            )
        _name_by_position(converted.model)
        converted.save_pretrained(folder)


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
