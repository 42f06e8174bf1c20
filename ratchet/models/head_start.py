"""A classifier whose head is a fitted probe: fine-tuning starts from it; head-only and contrastive tuning end with it.

Source: Kumar et al. 2022, Fine-tuning can distort pretrained features, https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.backbones import load_classifier
from ratchet.models.examples import Examples
from ratchet.models.fit_params import TuningParams
from ratchet.models.forward import features_of
from ratchet.models.probe import Probe, choose_regularization, fit_probe, stratified_folds
from ratchet.models.tuning import CONTRASTIVE, Method, merge, prepare

N_FOLDS = 3
"""Folds by which the regularization of a head on tuned features is chosen."""


def classifier_from(folder: Path, probe: Probe, offset: NDArray[np.float64]) -> Any:
    """The backbone with the probe as its head: its logits are the probe's less the prior's offset, (n_classes,)."""
    model = load_classifier(folder, len(probe.intercepts))
    set_head(model, probe, offset)
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


def learner_of(method: Method) -> Any:
    """The Lightning module that learns by the method; None: the usual one."""
    if method != CONTRASTIVE:
        return None
    from ratchet.models.contrastive import ContrastiveClassifier

    return ContrastiveClassifier


def finished(model: Any, method: Method, learned: Examples, offset: NDArray[np.float64], seed: int) -> Any:
    """The fitted model as a plain one; after contrastive tuning under a new probe of the texts it learned from.

    Args:
        model: fitted in place, see `ratchet.models.tuning.merge`.
        method: how it was tuned.
        learned: texts with hard labels, (n_texts,), and their weights, if any.
        offset: the prior's, (n_classes,).
        seed: of the folds that choose the probe's regularization.
    """
    model = merge(model)
    if method == CONTRASTIVE:
        vectors = features_of(model, learned.tokens) / np.float32(model.config.feature_norm)  # (n_texts, hidden)
        n_classes, folds = model.config.num_labels, stratified_folds(learned.hard, N_FOLDS, seed)
        regularization, _ = choose_regularization(vectors, learned.hard, n_classes, folds)
        weight = None if learned.weight is None else learned.weight.astype(np.float64)
        set_head(model, fit_probe(vectors, learned.hard, n_classes, regularization, weight), offset)
    return model


def set_head(model: Any, probe: Probe, offset: NDArray[np.float64]) -> None:
    """Let the probe be the head of the model, in place: its logits are the probe's less the offset, (n_classes,)."""
    import torch

    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(probe.weights / model.config.feature_norm))
        model.classifier.bias.copy_(torch.from_numpy(probe.intercepts - offset))
