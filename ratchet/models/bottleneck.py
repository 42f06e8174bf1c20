"""The bottleneck adapter as a module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Bottleneck(torch.nn.Module):
    """A linear layer, and a narrow network on its output: y + up(gelu(down(y)))."""

    def __init__(self, linear: torch.nn.Linear, width: int, size: int) -> None:
        super().__init__()
        self.linear = linear
        self.down = torch.nn.Linear(width, size)
        self.up = torch.nn.Linear(size, width)
        torch.nn.init.normal_(self.down.weight, std=0.02)
        torch.nn.init.zeros_(self.down.bias)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        y: Tensor = self.linear(hidden)
        added: Tensor = self.up(F.gelu(self.down(y)))
        return y + added
