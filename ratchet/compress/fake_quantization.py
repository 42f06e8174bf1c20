"""Quantization-aware training: weights are rounded in the forward pass, so that the model learns to compensate.

Gradients pass the rounding as if it were not there. What is left behind are weights that already lie on their grid:
the exporter's rounding finds them there and changes nothing.
Source: Jacob et al. 2018, https://arxiv.org/abs/1712.05877; the straight-through estimator of Bengio et al. 2013,
https://arxiv.org/abs/1308.3432
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from ratchet.compress.distillation import encoder_of
from ratchet.compress.integers import embedding_block, per_block, per_channel

LARGEST = 64
"""The integers a weight may become are -64 to 64: 7 bits, see `integers.per_channel`."""


def round_matrices(model: Any) -> None:
    """Put every matrix of the encoder on its int8 grid, in place: what post-training int8 does."""
    import torch

    with torch.no_grad():
        for part in _matrices(model):
            values, scale = per_channel(part.weight.detach().cpu().numpy(), LARGEST)
            rounded = torch.from_numpy(values * scale[:, None])
            part.weight.copy_(rounded.to(part.weight))


def round_embeddings(model: Any, bits: Literal[8, 4]) -> None:
    """Put the token embeddings on the grid of the exported graph, in place: training after it learns around them."""
    import torch

    table = model.get_input_embeddings()
    rows = table.weight.detach().cpu().numpy()
    values, scale = per_block(rows, bits, embedding_block(rows.shape[1]))
    rounded = (values.astype(np.float32) - 2 ** (bits - 1)) * scale[..., None]
    with torch.no_grad():
        table.weight.copy_(torch.from_numpy(rounded.reshape(len(rows), -1)[:, : rows.shape[1]]).to(table.weight))


def is_rounded(model: Any, bits: Literal[8, 4]) -> bool:
    """Whether the token embeddings lie on the grid already, so that an exporter's rounding changes nothing."""
    before = model.get_input_embeddings().weight.detach().clone()
    rounded = copy.deepcopy(model)
    round_embeddings(rounded, bits)
    return bool((before - rounded.get_input_embeddings().weight).abs().max() <= 1e-4 * before.abs().max())


@contextmanager
def quantization_aware(model: Any) -> Iterator[None]:
    """Within the block every matrix is rounded in the forward pass; after it the model is plain and rounded."""
    import torch
    from torch.nn.utils import parametrize

    class Rounded(torch.nn.Module):
        def forward(self, weight: Any) -> Any:  # (n_outputs, n_inputs)
            scale = weight.detach().abs().amax(dim=1).clamp(min=1e-8) / LARGEST
            zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
            return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -LARGEST, LARGEST)

    parts = _matrices(model)
    for part in parts:
        parametrize.register_parametrization(part, "weight", Rounded())
    try:
        yield
    finally:
        for part in parts:
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)


def _matrices(model: Any) -> list[Any]:
    """The linear layers that the exporters store as integers: all of the encoder."""
    import torch

    return [part for part in encoder_of(model).modules() if isinstance(part, torch.nn.Linear)]
