"""Bottleneck adapters: small networks inside a frozen encoder. They bend, so they cannot be merged into its layers.

A bundle keeps them beside the weights, and whoever loads it puts them back in place.

Source: Houlsby et al. 2019, https://arxiv.org/abs/1902.00751; one adapter a layer, after the feed-forward part, as in
Pfeiffer et al. 2021, https://arxiv.org/abs/2005.00247.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratchet.errors import TrainingError

ADAPTERS = "adapters.safetensors"


def insert_adapters(model: Any, size: int) -> list[Any]:
    """Put an adapter of `size` channels after each layer's last linear layer, in place; the adapters' parameters.

    An adapter begins as nothing: its second matrix is zero, so the model's logits are unchanged.

    Raises:
        TrainingError: the encoder has no list of layers that end in a linear layer as wide as its hidden states.
    """
    import torch

    from ratchet.models.bottleneck import Bottleneck

    parameters = []
    for layer in _layers(model):
        width = model.config.hidden_size
        ends = [
            (parent, name, part)
            for parent in layer.modules()
            for name, part in parent.named_children()
            if isinstance(part, torch.nn.Linear) and part.out_features == width
        ]
        parent, name, linear = ends[-1]
        adapted = Bottleneck(linear, width, size)
        setattr(parent, name, adapted)
        parameters += [*adapted.down.parameters(), *adapted.up.parameters()]
    return parameters


def remove_adapters(model: Any) -> dict[str, Any]:
    """Take the adapters out, in place; their weights by name, empty if there were none."""
    from ratchet.models.bottleneck import Bottleneck

    weights: dict[str, Any] = {}
    for index, layer in enumerate(_layers(model)):
        for parent in list(layer.modules()):
            for name, part in list(parent.named_children()):
                if isinstance(part, Bottleneck):
                    kept = {key: value for key, value in part.state_dict().items() if not key.startswith("linear.")}
                    weights |= {f"{index}.{key}": value.contiguous() for key, value in kept.items()}
                    setattr(parent, name, part.linear)
    return weights


def load_adapters(model: Any, folder: Path) -> None:
    """Put the adapters that the folder holds back into the model, in place; nothing where it holds none."""
    if not (folder / ADAPTERS).is_file():
        return
    from safetensors.torch import load_file

    from ratchet.models.bottleneck import Bottleneck

    weights = load_file(folder / ADAPTERS)
    insert_adapters(model, len(weights["0.down.weight"]))
    for index, layer in enumerate(_layers(model)):
        (adapted,) = [part for part in layer.modules() if isinstance(part, Bottleneck)]
        mine = {key.removeprefix(f"{index}."): value for key, value in weights.items() if key.startswith(f"{index}.")}
        adapted.load_state_dict(mine, strict=False)  # the linear layer inside has its weights already


def _layers(model: Any) -> Any:
    import torch

    for part in model.base_model.modules():
        if isinstance(part, torch.nn.ModuleList) and len(part):
            return part
    raise TrainingError(
        "This encoder has no list of layers for adapters.",
        got=type(model).__name__,
        expected="a torch.nn.ModuleList of transformer layers",
        fix="choose another tuning method",
    )
