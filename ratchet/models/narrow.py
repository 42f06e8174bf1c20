"""BERT classifiers with fewer attention heads than their width allows.

Transformers derives a head's size from the hidden size and the number of heads, so a config cannot say that heads are
gone. A narrow model's config says `n_kept_heads`, and `ratchet.models.pooling` builds it so.
"""

from __future__ import annotations

from typing import Any

KEPT = "n_kept_heads"
"""Key of a config: how many heads each layer has left."""


def keep_heads(attention: Any, heads: list[int]) -> None:
    """Cut all other heads out of one attention, in place: its matrices become smaller."""
    import torch

    inner, size = attention.self, attention.self.attention_head_size
    rows = torch.cat([torch.arange(head * size, (head + 1) * size) for head in heads])
    for name in ("query", "key", "value"):
        old = getattr(inner, name)
        setattr(inner, name, linear(old.weight[rows], old.bias[rows]))
    attention.output.dense = linear(attention.output.dense.weight[:, rows], attention.output.dense.bias)
    inner.num_attention_heads, inner.all_head_size = len(heads), len(rows)


def linear(weight: Any, bias: Any) -> Any:
    """A linear layer that owns copies of these parameters; `weight`: (n_outputs, n_inputs)."""
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    layer.weight = torch.nn.Parameter(weight.detach().clone())
    layer.bias = torch.nn.Parameter(bias.detach().clone())
    return layer
