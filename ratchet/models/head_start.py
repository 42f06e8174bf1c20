"""A classifier whose head is a fitted probe: fine-tuning starts from it, and head-only tuning ends with it.

Source: Kumar et al. 2022, Fine-tuning can distort pretrained features, https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.backbones import load_classifier
from ratchet.models.fit_params import TuningParams
from ratchet.models.probe import Probe
from ratchet.models.tuning import Method, prepare


def classifier_from(folder: Path, probe: Probe, offset: NDArray[np.float64]) -> Any:
    """The backbone with the probe as its head: its logits are the probe's less the prior's offset, (n_classes,)."""
    import torch

    model = load_classifier(folder, len(probe.intercepts))
    with torch.no_grad():
        head = model.classifier
        head.weight.copy_(torch.from_numpy(probe.weights / model.config.feature_norm))
        head.bias.copy_(torch.from_numpy(probe.intercepts - offset))
    return model


def prepared(model: Any, method: Method, params: TuningParams) -> Any:
    """The classifier with what the method tunes trainable; see `ratchet.models.tuning.prepare`."""
    return prepare(
        model,
        method,
        lora_rank=params.lora_rank,
        lora_targets=params.lora_targets,
        rank_stabilized=params.rank_stabilized,
        adapter_size=params.adapter_size,
    )
