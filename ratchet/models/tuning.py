"""Which parameters learn: all of them, the head alone, or low-rank updates that are merged afterwards."""

from __future__ import annotations

from typing import Any, Literal

Method = Literal["head", "lora", "full"]


def prepare(model: Any, method: Method, lora_rank: int) -> Any:
    """The model with the method's parameters trainable and all others frozen.

    `lora` adds rank-`lora_rank` updates to every linear layer of the encoder and trains the head with them.
    Source: Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685 (alpha = 2 × rank).
    """
    if method == "full":
        return model
    if method == "lora":
        from peft import LoraConfig, TaskType, get_peft_model

        config = LoraConfig(
            task_type=TaskType.SEQ_CLS, r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear"
        )
        return get_peft_model(model, config)
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    return model


def merge(model: Any) -> Any:
    """A plain model again: low-rank updates are added into the weights, every parameter is trainable."""
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def count_parameters(model: Any) -> dict[str, int]:
    """Number of parameters, in total and trainable."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {"n_parameters": sum(n for n, _ in sizes), "n_trainable": sum(n for n, trains in sizes if trains)}
