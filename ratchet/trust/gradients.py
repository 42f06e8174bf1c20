"""A second opinion from gradients: layer integrated gradients at the word embeddings, for bundles of torch weights.

Source: Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365, by captum's `LayerIntegratedGradients`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.models.batching import pad, padding_id
from ratchet.models.torch_predictor import TorchPredictor


class Gradients(NamedTuple):
    """Of one text."""

    values: NDArray[np.float64]
    """Of each word towards the predicted class, (n_words,): the sum over its tokens, in probability."""
    convergence_delta: float
    """|sum over all tokens − (probability − probability of the baseline)|; 0: as many steps as are needed."""


def integrated_gradients(
    predictor: TorchPredictor, texts: Sequence[str], predicted: Sequence[int], n_steps: int
) -> list[Gradients]:
    """The gradients of the probability of a class, along the way from a text of padding to the text.

    Args:
        predictor: of torch weights.
        texts: to explain.
        predicted: the class of each whose probability is explained.
        n_steps: points on the way; at 10 the sums are often wrong, at 20 rarely: see `convergence_delta`.

    Words beyond the model's token limit get 0. The special tokens stay in the baseline.
    """
    import torch
    from captum.attr import LayerIntegratedGradients

    model, tokenizer = predictor.model, predictor.tokenizer
    device = model.device

    def probability(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return model(input_ids=ids, attention_mask=mask).logits.softmax(dim=-1)  # type: ignore[no-any-return]

    method = LayerIntegratedGradients(probability, model.get_input_embeddings())
    found = []
    for text, target in zip(texts, predicted, strict=True):
        encoding = tokenizer.encode(text)
        ids, mask = (torch.from_numpy(array).to(device) for array in pad([encoding.ids]))
        special = torch.tensor([encoding.special_tokens_mask], dtype=torch.bool, device=device)
        baseline = torch.where(special, ids, padding_id(tokenizer))
        values, delta = method.attribute(
            ids,
            baselines=baseline,
            target=target,
            additional_forward_args=(mask,),
            n_steps=n_steps,
            internal_batch_size=max(n_steps, 2),
            return_convergence_delta=True,
        )
        per_token = values.sum(dim=-1)[0].double().cpu().numpy()  # (tokens,)
        found.append(Gradients(_per_word(text, encoding.offsets, per_token), float(delta.abs().max())))
    return found


def _per_word(text: str, offsets: Sequence[tuple[int, int]], per_token: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the tokens that start inside each word, (n_words,); punctuation between words is left out."""
    spans = word_spans(text)
    values = np.zeros(len(spans))
    for (start, end), value in zip(offsets, per_token, strict=True):
        for index, (first, last) in enumerate(spans):
            if end > start and first <= start < last:
                values[index] += value
    return values
