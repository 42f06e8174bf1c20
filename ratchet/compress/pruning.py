"""Structured pruning: feed-forward channels that matter least are cut out, and the matrices become smaller.

Importance is the first-order Taylor estimate of what the loss would lose without a channel.
Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; for transformers Michel, Levy & Neubig 2019,
https://arxiv.org/abs/1905.10650.
"""

from __future__ import annotations

from typing import Any

from ratchet.compress.distillation import encoder_of
from ratchet.errors import TrainingError
from ratchet.models.batching import pad, sorted_batches
from ratchet.models.examples import Examples


def importance_on(model: Any, examples: Examples, n_texts: int, batch_size: int) -> Any:
    """First-order importance of every feed-forward channel, (n_layers, n_channels), each at least 0.

    A channel's activation times its gradient, summed over a batch, equals the sum over its outgoing weights of
    weight times gradient; the absolute values of that are added over batches. The loss is the cross-entropy with
    the soft labels, so that texts without a label count too.
    """
    import torch
    import torch.nn.functional as F

    if examples.soft is None:
        raise TrainingError("Importance needs a teacher's soft labels.", fix="pass examples that have them")
    layers = encoder_of(model).layer
    total = torch.zeros(len(layers), layers[0].intermediate.dense.out_features)
    chosen = range(min(n_texts, len(examples)))
    model.eval()
    for batch in sorted_batches([len(examples.tokens[index]) for index in chosen], batch_size):
        ids, mask = (torch.from_numpy(array) for array in pad([examples.tokens[index] for index in batch]))
        model.zero_grad(set_to_none=True)
        logits = model(input_ids=ids, attention_mask=mask).logits  # (batch, n_classes)
        loss = F.cross_entropy(logits, torch.from_numpy(examples.soft[batch]).softmax(-1), reduction="sum")
        torch.autograd.backward(loss)
        for index, layer in enumerate(layers):
            weight = layer.output.dense.weight  # (hidden, channels)
            total[index] += (weight * weight.grad).sum(0).abs().detach()
    model.zero_grad(set_to_none=True)
    return total


def prune_channels(model: Any, importance: Any, keep_rate: float, multiple_of: int = 32) -> int:
    """Keep each layer's most important channels, in place; the number kept, the same in every layer.

    The result is an ordinary model with a smaller `intermediate_size`: every exporter and loader takes it as it is.

    Args:
        model: a BERT-like sequence classifier.
        importance: (n_layers, n_channels).
        keep_rate: share of channels to keep, in (0, 1].
        multiple_of: the number kept is rounded to a multiple of this, which vector units like.
    """
    import torch

    layers = encoder_of(model).layer
    n_channels = int(importance.shape[1])
    n_kept = min(n_channels, max(multiple_of, round(n_channels * keep_rate / multiple_of) * multiple_of))
    if tuple(importance.shape) != (len(layers), layers[0].intermediate.dense.out_features):
        raise TrainingError(
            "The importance does not fit the model.", got=tuple(importance.shape),
            expected=(len(layers), layers[0].intermediate.dense.out_features), fix="compute it on this model",
        )  # fmt: skip
    with torch.no_grad():
        for layer, scores in zip(layers, importance, strict=True):
            kept = torch.topk(scores, n_kept).indices.sort().values
            layer.intermediate.dense = _linear(
                layer.intermediate.dense.weight[kept], layer.intermediate.dense.bias[kept]
            )
            layer.output.dense = _linear(layer.output.dense.weight[:, kept], layer.output.dense.bias)
    model.config.intermediate_size = n_kept
    return n_kept


def _linear(weight: Any, bias: Any) -> Any:
    """A linear layer that owns copies of these parameters."""
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
    return layer
