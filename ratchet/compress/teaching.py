"""Further distillation losses, on the teacher's hidden states and attention, and augmented texts.

Source: hidden states and attention as in Jiao et al. 2020, TinyBERT, https://arxiv.org/abs/1909.10351; augmentation by
masked words and n-grams as in Tang et al. 2019, https://arxiv.org/abs/1903.12136
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ratchet.compress.distillation import encoder_of
from ratchet.errors import TrainingError
from ratchet.models.batching import Tokens


def taught(student: Any, teacher: Any, layers: Sequence[int], hidden_weight: float, attention_weight: float) -> Any:
    """The student as a module whose training output carries `teaching_losses`, (batch,), beside its logits.

    The student learns in place. The teacher is no part of the module's parameters.

    Args:
        student: a model with one layer for each of `layers`, as wide as the teacher.
        teacher: what it learns from; both are set to the attention that shows its weights.
        layers: the teacher's layers, counted from 0, that the student's layers should resemble.
        hidden_weight: weight of the mean squared difference of the layers' outputs, each scaled to unit variance.
        attention_weight: weight of the mean squared difference of the attention weights, averaged over heads.

    Raises:
        TrainingError: the student has another number of layers, or another width.
    """
    import torch

    if len(encoder_of(student).layer) != len(layers) or student.config.hidden_size != teacher.config.hidden_size:
        raise TrainingError(
            "The student's layers cannot be compared with the teacher's.",
            got=f"{len(encoder_of(student).layer)} layers of width {student.config.hidden_size}",
            expected=f"{len(layers)} layers of width {teacher.config.hidden_size}",
            fix="set distil.hidden_weight and distil.attention_weight to 0",
        )
    for model in (student, teacher):
        model.set_attn_implementation("eager")  # the others do not return their weights
    teacher.eval().requires_grad_(False)
    hidden_teacher = (teacher,)  # in a tuple, so that it is no submodule: neither trained nor saved

    class Taught(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student, self.config = student, student.config

        def get_input_embeddings(self) -> Any:
            return self.student.get_input_embeddings()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            feed = {"input_ids": input_ids, "attention_mask": attention_mask}
            if not self.training:
                return self.student(**feed)
            shown = {"output_hidden_states": True, "output_attentions": True}
            own = self.student(**feed, **shown)
            with torch.no_grad():
                theirs = hidden_teacher[0](**feed, **shown)
            losses = torch.zeros(len(input_ids), device=own.logits.device)
            for index, layer in enumerate(layers):
                losses = losses + hidden_weight / len(layers) * hidden_difference(
                    own.hidden_states[index + 1], theirs.hidden_states[layer + 1], attention_mask
                )
                losses = losses + attention_weight / len(layers) * attention_difference(
                    own.attentions[index], theirs.attentions[layer], attention_mask
                )
            return SimpleNamespace(logits=own.logits, teaching_losses=losses)

    return Taught()


def hidden_difference(own: Any, theirs: Any, mask: Any) -> Any:
    """Mean squared difference over a text's tokens, (batch,), in units of the teacher's variance; 0: equal.

    Both (batch, tokens, hidden); mask (batch, tokens).
    """
    variance = theirs.var(dim=-1, keepdim=True).clamp(min=1e-6)  # (batch, tokens, 1)
    squared = ((own - theirs).square() / variance).mean(dim=-1)  # (batch, tokens)
    return (squared * mask).sum(dim=1) / mask.sum(dim=1)


def attention_difference(own: Any, theirs: Any, mask: Any) -> Any:
    """Squared difference of the head-averaged attention, summed over what is attended to, (batch,), in [0, 2].

    Both (batch, heads, tokens, tokens), of any number of heads; mask (batch, tokens).
    """
    squared = (own.mean(dim=1) - theirs.mean(dim=1)).square().sum(dim=-1)  # (batch, tokens)
    return (squared * mask).sum(dim=1) / mask.sum(dim=1)


def augmented(
    tokens: Sequence[Tokens], n_texts: int, mask_id: int, rng: np.random.Generator, mask_rate: float = 0.1
) -> list[Tokens]:
    """`n_texts` texts made of others: some words masked, and of half of them only a run of neighbouring words.

    First and last token of a text are its special ones and stay. Texts to be augmented come in random order, each once
    before any twice.
    """
    made: list[Tokens] = []
    while tokens and len(made) < n_texts:
        for index in rng.permutation(len(tokens))[: n_texts - len(made)]:
            first, *words, last = tokens[index]
            if len(words) > 4 and rng.random() < 0.5:
                length = int(rng.integers(len(words) // 2, len(words)))
                start = int(rng.integers(0, len(words) - length + 1))
                words = words[start : start + length]
            masked = rng.random(len(words)) < mask_rate
            made.append([first, *(mask_id if hide else word for word, hide in zip(words, masked, strict=True)), last])
    return made
