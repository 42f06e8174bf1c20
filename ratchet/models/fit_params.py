"""The parameters every training step shares."""

from __future__ import annotations

from pydantic import Field

from ratchet.models.precision import Precision
from ratchet.params import Params


class FitParams(Params):
    """How a model is fitted."""

    n_epochs: int = Field(ge=1, le=1000)
    """Passes over the training texts, at most."""
    batch_size: int = Field(ge=1, le=4096)
    """Texts a step learns from."""
    learning_rate: float = Field(gt=0, lt=1)
    """AdamW's step size at its highest."""
    weight_decay: float = Field(ge=0, lt=1)
    """AdamW's decoupled weight decay."""
    warmup_rate: float = Field(ge=0, le=1)
    """Share of the steps over which the learning rate rises."""
    patience: int = Field(ge=1)
    """Epochs without a better validation accuracy before training stops."""
    train_embeddings: bool
    """Whether the token embeddings learn too. Frozen, a step costs a little less and
    rare words keep what pretraining taught."""
    precision: Precision
    """Arithmetic of training; auto: bf16 mixed where the hardware has it, 32-bit elsewhere."""
    n_threads: int = Field(ge=0)
    """CPU threads; 0: all cores. Another number gives other weights in the last bits."""
    seed: int = Field(ge=0)
    """Seed of the batches' order and the new weights."""
