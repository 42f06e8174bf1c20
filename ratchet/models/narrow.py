"""BERT classifiers with fewer attention heads than their width allows: built, cut and loaded.

Transformers derives a head's size from the hidden size and the number of heads, so a config cannot say that heads are
gone. A narrow model's config says `n_kept_heads`, and this module knows what that means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratchet.files import read_json

KEPT = "n_kept_heads"


def classifier_class(folder: Path) -> Any:
    """The class whose `from_pretrained` loads the classifier in the folder."""
    from transformers import AutoModelForSequenceClassification

    if KEPT not in read_json(folder / "config.json"):
        return AutoModelForSequenceClassification
    from transformers import BertForSequenceClassification

    class NarrowBert(BertForSequenceClassification):  # type: ignore[misc]
        """A BERT classifier with `n_kept_heads` heads a layer."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            for layer in self.bert.encoder.layer:
                keep_heads(layer.attention, list(range(getattr(config, KEPT))))

    return NarrowBert


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
