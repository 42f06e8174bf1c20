"""Knowledge distillation: a shallower student that starts from the teacher's layers and learns its probabilities.

Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531; taking every n-th layer of the teacher as in
Sanh et al. 2019, DistilBERT, https://arxiv.org/abs/1910.01108.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ratchet.errors import TrainingError

LAYERS = "encoder.layer"
"""Where the encoders keep their layers that students are made of."""


def student_of(teacher: Any, layers: Sequence[int]) -> Any:
    """A copy of the teacher that keeps only the named encoder layers, in that order.

    Raises:
        TrainingError: a layer the teacher does not have, or an architecture without an `encoder.layer` list.
    """
    import torch

    encoder = encoder_of(teacher)
    n_layers = len(encoder.layer)
    if not layers or not all(0 <= layer < n_layers for layer in layers):
        raise TrainingError(
            "The student's layers are not layers of the teacher.",
            got=list(layers),
            expected=f"one or more of 0 to {n_layers - 1}",
            fix="lower distil.n_layers",
        )
    student = copy.deepcopy(teacher)
    kept = encoder_of(student)
    kept.layer = torch.nn.ModuleList([kept.layer[layer] for layer in layers])
    student.config.num_hidden_layers = len(layers)
    return student


def spread_layers(teacher: Any, n_layers: int) -> list[int]:
    """So many of the teacher's layers, counted from 0 and spread evenly, the first and the last among them; all where
    it has no more. Source: Sanh et al. 2019, DistilBERT, https://arxiv.org/abs/1910.01108."""
    n = len(encoder_of(teacher).layer)
    if n_layers >= n:
        return list(range(n))
    return [round(index * (n - 1) / max(n_layers - 1, 1)) for index in range(n_layers)]


def no_student(model: Any) -> str:
    """Why no student can be made of a model; empty where one can."""
    try:
        encoder_of(model)
    except TrainingError:
        return f"no student can be made of {type(model).__name__}: its layers are not in {LAYERS}"
    return ""


def encoder_of(model: Any) -> Any:
    """The module that holds the list `layer` of transformer layers, as BERT, RoBERTa, MiniLM and their kin have it.

    Raises:
        TrainingError: the model keeps its layers elsewhere, as DistilBERT and ModernBERT do.
    """
    encoder = getattr(getattr(model, "base_model", None), "encoder", None)
    if encoder is None or not hasattr(encoder, "layer"):
        raise TrainingError(
            "This architecture's layers are not where they are expected.",
            got=type(model).__name__,
            expected="a model with base_model.encoder.layer (BERT, RoBERTa, MiniLM, ELECTRA)",
            fix="choose another backbone in task.backbones",
        )
    return encoder
