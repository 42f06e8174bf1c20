"""Tuning methods: full fine-tuning, and parameter-efficient ones whose updates are merged into the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ratchet.errors import TrainingError
from ratchet.models.adapters import insert_adapters

Method = Literal["full", "head", "last_layers", "bitfit", "ia3", "lora", "dora", "adapter", "contrastive"]
CONTRASTIVE: Method = "contrastive"
"""All parameters learn from pairs of texts, see `ratchet.models.contrastive`."""


def prepare(
    model: Any,
    method: Method,
    *,
    lora_rank: int,
    lora_targets: Sequence[str],
    rank_stabilized: bool,
    adapter_size: int,
) -> Any:
    """The model with the method's parameters trainable and all others frozen; the head always learns.

    Args:
        model: a Hugging Face sequence classifier.
        method: full: everything · head: the head alone · last_layers: the upper half of the layers, and the head ·
            bitfit: the biases · ia3: a factor for each channel of keys, values and feed-forward outputs · lora:
            low-rank updates · dora: low-rank directions and a size for each column · adapter: a bottleneck in each
            layer · contrastive: everything, from pairs of texts.
        lora_rank: rank of lora's and dora's updates; alpha is twice the rank.
        lora_targets: names that the updated linear layers end in; `all-linear`: all of the encoder.
        rank_stabilized: whether updates are scaled by alpha ÷ √rank (rsLoRA) and not by alpha ÷ rank.
        adapter_size: channels of a bottleneck.

    Sources: Hu et al. 2021, LoRA, https://arxiv.org/abs/2106.09685; Kalajdzievski 2023, rsLoRA,
    https://arxiv.org/abs/2312.03732; Liu et al. 2024, DoRA, https://arxiv.org/abs/2402.09353; Liu et al. 2022, IA3,
    https://arxiv.org/abs/2205.05638; Ben Zaken et al. 2022, BitFit, https://arxiv.org/abs/2106.10199.

    Raises:
        TrainingError: the method does not know this architecture, or no layer has such a name.
    """
    if method in ("full", CONTRASTIVE):
        return model
    if method in ("lora", "dora", "ia3"):
        return _by_peft(model, method, lora_rank, list(lora_targets), rank_stabilized)
    for parameter in model.base_model.parameters():
        parameter.requires_grad_(False)
    if method == "last_layers":
        for layer in upper_layers(model):
            layer.requires_grad_(True)
    if method == "bitfit":
        for name, parameter in model.base_model.named_parameters():
            parameter.requires_grad_(name.endswith(".bias"))
    if method == "adapter":
        for parameter in insert_adapters(model, adapter_size):
            parameter.requires_grad_(True)
    return model


def upper_layers(model: Any) -> Sequence[Any]:
    """The upper half of the encoder's layers, the lower of them first; one of a single layer.

    Raises:
        TrainingError: the architecture keeps its layers in no list.
    """
    import torch

    lists = [part for part in model.base_model.modules() if isinstance(part, torch.nn.ModuleList) and len(part)]
    if not lists:
        raise TrainingError(
            "last_layers cannot be applied to this backbone.",
            where=type(model).__name__,
            expected="an encoder with a list of layers",
            fix="choose another train.method",
        )
    layers = max((list(part) for part in lists), key=len)
    return layers[len(layers) // 2 :]


def merge(model: Any) -> Any:
    """A plain model again, every parameter trainable: updates are added or multiplied into the weights.

    Bottleneck adapters stay where they are: no linear layer can stand for them.
    """
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def count_parameters(model: Any, train_embeddings: bool = True) -> dict[str, int]:
    """Number of parameters, in total and trainable; without `train_embeddings` those of the tokens do not count."""
    aside = set() if train_embeddings else {id(p) for p in model.get_input_embeddings().parameters()}
    sizes = [(p.numel(), p.requires_grad and id(p) not in aside) for p in model.parameters()]
    return {"n_parameters": sum(n for n, _ in sizes), "n_trainable": sum(n for n, trains in sizes if trains)}


def _by_peft(model: Any, method: str, rank: int, targets: list[str], rank_stabilized: bool) -> Any:
    from peft import IA3Config, LoraConfig, TaskType, get_peft_model

    if method == "ia3":
        config: Any = IA3Config(task_type=TaskType.SEQ_CLS)
    else:
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=rank,
            lora_alpha=2 * rank,
            use_rslora=rank_stabilized,
            use_dora=method == "dora",
            target_modules=targets[0] if targets == ["all-linear"] else targets,
        )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TrainingError(
            f"{method} cannot be applied to this backbone.",
            where=type(model).__name__,
            got=str(error).splitlines()[0],
            fix="name other train.lora_targets, or choose another train.method",
        ) from None
