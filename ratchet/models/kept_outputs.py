"""A stand-in for a frozen encoder that looks up cached outputs instead of computing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling


class KeptOutputs(torch.nn.Module):
    """Gives a text's first hidden state and pooled vector for its row, which stands where its token ids would."""

    first: Tensor
    pooled: Tensor | None

    def __init__(self, first: Tensor, pooled: Tensor | None) -> None:
        """Both (n_texts, hidden); an encoder without a pooler has no `pooled`."""
        super().__init__()
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("pooled", pooled, persistent=False)

    def forward(self, input_ids: Tensor, *_: Any, **__: Any) -> Any:
        rows = input_ids[:, 0]
        hidden = self.first[rows].unsqueeze(1)  # (batch, 1, hidden)
        if self.pooled is None:
            return BaseModelOutput(last_hidden_state=hidden)
        return BaseModelOutputWithPooling(last_hidden_state=hidden, pooler_output=self.pooled[rows])
