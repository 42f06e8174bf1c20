"""The parameters every training step shares."""

from __future__ import annotations

from pydantic import Field

from ratchet.models.precision import Precision
from ratchet.models.strategy import Strategy
from ratchet.params import Params
from ratchet.task import Seed, TrainThreads


class FitParams(Params):
    """Training hyperparameters."""

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
    """Early-stopping patience: epochs without a better primary metric on the validation texts."""
    train_embeddings: bool
    """Whether the token embeddings learn too. Frozen, a step costs a little less and
    rare words keep what pretraining taught."""
    precision: Precision
    """Arithmetic of training; auto: 32-bit, or the mixed precision that was measured to be faster and as exact."""
    micro_batch_tokens: int = Field(ge=0)
    """Padded tokens of one forward and backward pass, at most; the gradients of a larger batch are accumulated over
    several passes, which saves memory and changes no step. 0: a batch is one pass."""
    compile_model: bool
    """Whether torch.compile fuses the model. It takes a minute and a C++ compiler, and pays on GPUs and long runs."""
    strategy: Strategy
    """single: one device; ddp: a copy on each; fsdp: sharded over GPUs."""
    n_devices: int = Field(ge=1)
    """Processes of ddp and fsdp, over which each batch is shared out."""
    n_threads: TrainThreads
    seed: Seed
