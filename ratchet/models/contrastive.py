"""Contrastive tuning: the encoder learns to bring texts of one class together; the head is refitted afterwards.

With few labels there are many more pairs of texts than texts. Batches are made of pairs of one class, and all pairs of
a batch are learned from.

Source: Tunstall et al. 2022, Efficient few-shot learning without prompts (SetFit), https://arxiv.org/abs/2209.11055,
whose cosine-similarity loss this is, over all pairs of a batch.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ratchet.models.classifier import Batch, Classifier
from ratchet.models.examples import UNKNOWN


class ContrastiveClassifier(Classifier):
    """A classifier whose encoder learns from pairs of texts alone.

    The head follows the features by cross-entropy, so that epochs can be compared; it sends no gradient back.
    """

    paired = True

    def outputs(self, batch: Batch) -> Any:
        """Logits and, while training, the contrastive loss of each text as `teaching_losses`, (batch,)."""
        if not self.training:
            return super().outputs(batch)
        features = self.model.features(batch["ids"], batch["mask"])  # (batch, hidden)
        logits = self.model.classifier(features.detach())
        return SimpleNamespace(logits=logits, teaching_losses=contrastive_losses(features, batch["hard"]))


def contrastive_losses(features: Tensor, hard: Tensor) -> Tensor:
    """Mean squared error of each text's cosines, wanted 1 within its class and 0 to others, (batch,), in [0, 5].

    The mean over the pairs within the class and the mean over the others are added, so that rare classes count alike. A
    text without any such pair, or without a label (UNKNOWN), adds nothing.

    Args:
        features: (batch, hidden), of any length.
        hard: class indices, (batch,).
    """
    unit = F.normalize(features.float(), dim=-1)
    cosines = unit @ unit.T  # (batch, batch)
    known = (hard != UNKNOWN) & (hard != UNKNOWN)[:, None]
    alike = hard == hard[:, None]
    itself = torch.eye(len(hard), dtype=torch.bool, device=hard.device)
    within, across = known & alike & ~itself, known & ~alike
    return _mean((cosines - 1) ** 2, within) + _mean(cosines**2, across)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's masked columns, (rows,); 0 where there are none."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
