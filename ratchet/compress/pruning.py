"""Pruning by importance: structured pruning cuts heads and channels; unstructured sets weights to zero.

Importance is the first-order Taylor estimate of what the loss would lose without a part.
Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; for transformers Michel, Levy & Neubig 2019,
https://arxiv.org/abs/1905.10650. Magnitude with a cubic schedule: Zhu & Gupta 2017, https://arxiv.org/abs/1710.01878.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ratchet.compress.distillation import encoder_of
from ratchet.errors import TrainingError
from ratchet.models.batching import pad, sorted_batches
from ratchet.models.examples import Examples
from ratchet.models.narrow import KEPT, keep_heads, linear


class Importance(NamedTuple):
    """First-order importance, each at least 0."""

    channels: Any
    """Of every feed-forward channel, (n_layers, n_channels)."""
    heads: Any
    """Of every attention head, (n_layers, n_heads)."""


def importance_on(model: Any, examples: Examples, n_texts: int, batch_size: int) -> Importance:
    """The importance of every feed-forward channel and attention head over the first `n_texts` examples.

    A channel's activation times its gradient, summed over a batch, equals the sum over its outgoing weights of
    weight times gradient; the absolute values of that are added over batches, a head's over all its outputs together.
    The loss is the cross-entropy with the soft labels, so that texts without a label count too.
    """
    import torch
    import torch.nn.functional as F

    if examples.soft is None:
        raise TrainingError("Importance needs a teacher's soft labels.", fix="pass examples that have them")
    layers = encoder_of(model).layer
    n_heads = layers[0].attention.self.num_attention_heads
    channels = torch.zeros(len(layers), layers[0].intermediate.dense.out_features)
    heads = torch.zeros(len(layers), n_heads)
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
            channels[index] += (weight * weight.grad).sum(0).abs().detach()
            weight = layer.attention.output.dense.weight  # (hidden, heads × head size)
            heads[index] += (weight * weight.grad).sum(0).reshape(n_heads, -1).sum(1).abs().detach()
    model.zero_grad(set_to_none=True)
    return Importance(channels, heads)


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
    _check_shape(importance, (len(layers), layers[0].intermediate.dense.out_features))
    n_channels = int(importance.shape[1])
    n_kept = min(n_channels, max(multiple_of, round(n_channels * keep_rate / multiple_of) * multiple_of))
    for layer, scores in zip(layers, importance, strict=True):
        kept = torch.topk(scores, n_kept).indices.sort().values
        inner, output = layer.intermediate, layer.output
        inner.dense = linear(inner.dense.weight[kept], inner.dense.bias[kept])
        output.dense = linear(output.dense.weight[:, kept], output.dense.bias)
    model.config.intermediate_size = n_kept
    return n_kept


def prune_heads(model: Any, importance: Any, keep_rate: float) -> int:
    """Keep each layer's most important attention heads, in place; the number kept, the same in every layer.

    The result is a narrow model, see `ratchet.models.narrow`. Nothing changes when every head stays.

    Args:
        model: a BERT sequence classifier.
        importance: (n_layers, n_heads).
        keep_rate: share of heads to keep, in (0, 1]; at least one stays.
    """
    import torch

    layers = encoder_of(model).layer
    n_heads = int(layers[0].attention.self.num_attention_heads)
    _check_shape(importance, (len(layers), n_heads))
    n_kept = max(1, round(n_heads * keep_rate))
    if n_kept < n_heads:
        for layer, scores in zip(layers, importance, strict=True):
            keep_heads(layer.attention, torch.topk(scores, n_kept).indices.sort().values.tolist())
        setattr(model.config, KEPT, n_kept)
    return n_kept


def sparsity_at(step: int, n_steps: int, final: float) -> float:
    """The share of weights that are zero after a step: it rises fast, then ever more slowly, from 0 to `final`.

    Source: Zhu & Gupta 2017, equation 1, https://arxiv.org/abs/1710.01878

    >>> [round(sparsity_at(step, 4, 0.8), 4) for step in range(5)]
    [0.0, 0.4625, 0.7, 0.7875, 0.8]
    """
    left = 1 - min(1.0, step / max(1, n_steps))
    return final * (1 - left * left * left)


def magnitude_masks(model: Any, sparsity: float) -> dict[str, Any]:
    """For each matrix of the encoder which weights stay: all but the `sparsity` share that is smallest in magnitude.

    The threshold is global: one matrix may lose more than another. Embeddings, biases, norms and the head stay whole.
    """
    import torch

    weights = {
        name: part.weight.detach()
        for name, part in encoder_of(model).named_modules()
        if isinstance(part, torch.nn.Linear)
    }
    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    n_zero = round(sparsity * len(sizes))
    threshold = torch.kthvalue(sizes, n_zero).values if n_zero else sizes.new_tensor(-1.0)
    return {name: weight.abs() > threshold for name, weight in weights.items()}


class MagnitudePruner:
    """Holds a growing share of the encoder's smallest weights at zero while the rest learns.

    A forward hook counts the training passes: the masks are drawn anew ten times on the way to the final sparsity, and
    after every pass what the optimizer moved away from zero is put back.
    """

    def __init__(self, model: Any, sparsity: float, n_steps: int, n_draws: int = 10) -> None:
        self._model, self._sparsity, self._n_steps = model, sparsity, n_steps
        self._every = max(1, n_steps // n_draws)
        self._step, self._masks = 0, magnitude_masks(model, 0.0)
        self._handle = model.register_forward_pre_hook(self._before_pass)

    def finish(self) -> float:
        """Stop, at the final sparsity; the share of the encoder's weights that are zero."""
        self._handle.remove()
        self._masks = magnitude_masks(self._model, self._sparsity)
        self._apply()
        kept = sum(int(mask.sum()) for mask in self._masks.values())
        return 1 - kept / sum(int(mask.numel()) for mask in self._masks.values())

    def _before_pass(self, model: Any, _inputs: Any) -> None:
        if model.training:
            if self._step % self._every == 0:
                self._masks = magnitude_masks(model, sparsity_at(self._step, self._n_steps // 2, self._sparsity))
            self._step += 1
        self._apply()

    def _apply(self) -> None:
        import torch

        parts = dict(encoder_of(self._model).named_modules())
        with torch.no_grad():
            for name, mask in self._masks.items():
                parts[name].weight.mul_(mask)


def _check_shape(importance: Any, expected: tuple[int, int]) -> None:
    if tuple(importance.shape) != expected:
        raise TrainingError(
            "The importance does not fit the model.",
            got=tuple(importance.shape),
            expected=expected,
            fix="compute it on this model",
        )
