"""Accuracy-aware post-training int8 for OpenVINO: operations revert to full precision until predictions agree.

Source: NNCF's quantization with accuracy control, https://docs.openvino.ai/2026/openvino-workflow/model-optimization-guide/quantizing-models-post-training/quantizing-with-accuracy-control.html
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HEAD = ".*classifier.*"
"""Pattern of the names of the head's operations, which stay in full precision."""
Feed = Mapping[str, NDArray[np.int64]]
"""One text as the inputs of a graph, each (1, tokens)."""


class Agreement(NamedTuple):
    """Agreement that an int8 graph must reach with its source."""

    texts: Sequence[Any]
    """Token ids of the texts on which it is compared with its source."""
    at_least: float
    """Share of them on which it has to predict what its source predicts, in [0, 1]."""


def quantize_within(graph: Any, calibration: Sequence[Feed], held_to: Sequence[Feed], at_least: float) -> Any:
    """The OpenVINO model in int8, but for operations that had to stay as they were to agree on `at_least` of the texts.

    Operations are given back one by one, those first whose int8 changes the most predictions. No labels are needed: the
    full-precision graph's own predictions are the truth, so accuracy falls by no more than what the two disagree on.

    Args:
        graph: an `openvino.Model` in full precision; it stays as it is.
        calibration: texts over which the ranges of activations are measured.
        held_to: texts on which both are compared; at least one.
        at_least: the share on which they have to agree, in [0, 1]; above 1: nothing stays quantized.
    """
    import nncf
    import openvino
    from nncf.quantization import advanced_parameters as advanced

    nncf.set_log_level(logging.ERROR)  # it logs every reverted operation
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})  # as the predictor
    truth = [int(compiled(dict(feed))["logits"].argmax()) for feed in held_to]

    def agreement(model: Any, items: Iterable[tuple[Feed, int]]) -> tuple[float, list[float]]:
        """The share of items predicted as before, and which."""
        same = [float(model(dict(feed))["logits"].argmax() == label) for feed, label in items]
        return float(np.mean(same)), same

    # an operation that is given back has its first weights again, which do not fit activations that were smoothed
    unsmoothed = advanced.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    return nncf.quantize_with_accuracy_control(
        graph,
        nncf.Dataset(list(calibration)),
        nncf.Dataset(list(zip(held_to, truth, strict=True))),
        agreement,
        max_drop=1.0 - at_least,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(calibration),
        ignored_scope=nncf.IgnoredScope(patterns=[HEAD]),
        advanced_quantization_parameters=advanced.AdvancedQuantizationParameters(
            overflow_fix=advanced.OverflowFix.ENABLE, smooth_quant_alphas=unsmoothed
        ),
    )
