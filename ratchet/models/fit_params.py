"""The parameters every training step shares."""

from __future__ import annotations

from pydantic import Field

from ratchet.models.precision import Precision
from ratchet.models.strategy import Strategy
from ratchet.params import Params
from ratchet.task import Seed, TrainThreads

MAX_REPEATS = 10
"""How many times `n_epochs` passes are made for the sake of `min_steps`, at most."""


class FitParams(Params):
    """Training hyperparameters."""

    n_epochs: int = Field(ge=1, le=1000)
    """Passes over the training texts, at most; more where they would be fewer than `min_steps`."""
    min_steps: int = Field(ge=0, le=100_000)
    """Optimizer steps, at least, in at most ten times `n_epochs` passes: few texts need more passes. 0: no minimum."""
    batch_size: int = Field(ge=1, le=4096)
    """Texts a step learns from."""
    learning_rate: float = Field(gt=0, lt=1)
    """AdamW's step size at its highest."""
    head_rate: float = Field(gt=0, le=100)
    """What the classification head's learning rate is multiplied by."""
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

    def epochs(self, n_texts: int) -> int:
        """Passes over so many texts."""
        wanted = -(-self.min_steps // self.n_batches(n_texts))
        return max(self.n_epochs, min(wanted, MAX_REPEATS * self.n_epochs))

    def n_batches(self, n_texts: int) -> int:
        """Optimizer steps of a pass over so many texts."""
        return -(-n_texts // self.batch_size)


class TuningParams(FitParams):
    """How a backbone is fine-tuned, whatever the method."""

    max_tokens: int = Field(ge=8, le=8192)
    """Texts are cut to this many tokens."""
    lora_rank: int = Field(ge=1, le=1024)
    """Rank of the updates of lora and dora."""
    lora_targets: list[str] = Field(min_length=1)
    """Names that the linear layers they update end in, e.g. query, value; all-linear: all of the encoder."""
    rank_stabilized: bool
    """Whether updates are scaled by alpha ÷ √rank (rsLoRA), which suits high ranks."""
    adapter_size: int = Field(ge=1, le=4096)
    """Channels of an adapter's bottleneck."""
