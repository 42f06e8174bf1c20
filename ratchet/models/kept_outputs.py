"""A stand-in for a frozen encoder that looks up cached features instead of computing hidden states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput


class KeptOutputs(torch.nn.Module):
    """Gives a text's features for its row, which stands where its token ids would, as the text's only hidden state.

    Pooling leaves them as they are: they are the mean of one vector, and have the norm that features have.
    """

    features: Tensor

    def __init__(self, features: Tensor) -> None:
        """`features`: (n_texts, hidden)."""
        super().__init__()
        self.register_buffer("features", features, persistent=False)

    def forward(self, input_ids: Tensor, **_: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.features[input_ids])  # (batch, 1, hidden)
