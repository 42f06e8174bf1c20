"""Distributed training: number of processes, and how they share the model."""

from __future__ import annotations

from typing import Any, Literal

from ratchet.errors import TrainingError

Strategy = Literal["single", "ddp", "fsdp"]


def trainer_options(strategy: Strategy, n_devices: int) -> dict[str, Any]:
    """Options of Lightning's Trainer for the strategy.

    `ddp` copies the model to every process and averages gradients, on GPUs or on the CPU (gloo); the processes are
    spawned for the fit alone. `fsdp` shards weights, gradients and the optimizer's state over GPUs.
    Sources: Li et al. 2020, https://arxiv.org/abs/2006.15704; Zhao et al. 2023, https://arxiv.org/abs/2304.11277

    Raises:
        TrainingError: the machine has not what the strategy needs.
    """
    import torch

    n_gpus = torch.cuda.device_count()
    if strategy == "single":
        return {"devices": 1}
    if strategy == "fsdp" and not n_gpus:
        raise TrainingError(
            "Fully sharded training needs GPUs.",
            got="no CUDA device",
            expected="one or more",
            fix="set strategy: ddp, which also runs on CPUs, or single",
        )
    if n_gpus and n_devices > n_gpus:
        raise TrainingError(
            "There are fewer devices than asked for.",
            got=f"{n_gpus} GPUs",
            expected=f"n_devices = {n_devices}",
            fix="lower n_devices",
        )
    return {"devices": n_devices, "strategy": _sharded() if strategy == "fsdp" else "ddp_spawn"}


def _sharded() -> Any:
    """FSDP whose checkpoints are whole, so that the best weights can be read back into one model."""
    from lightning.pytorch.strategies import FSDPStrategy

    return FSDPStrategy(state_dict_type="full", use_orig_params=True)
