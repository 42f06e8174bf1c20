"""A trainable model's logits, outside of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import Tokens, pad, sorted_batches


def features_of(model: Any, tokens: Sequence[Tokens], batch_size: int = 32) -> NDArray[np.float32]:
    """What the model's head sees of each text, (n_texts, hidden), in the order of `tokens`."""
    return _of_batches(model, tokens, batch_size, model.features, model.classifier.in_features)


def logits_of(model: Any, tokens: Sequence[Tokens], batch_size: int = 32) -> NDArray[np.float32]:
    """The model's logits, (n_texts, n_classes), in the order of `tokens`."""

    def logits(**inputs: Any) -> Any:
        return model(**inputs).logits

    return _of_batches(model, tokens, batch_size, logits, model.config.num_labels)


def _of_batches(
    model: Any, tokens: Sequence[Tokens], batch_size: int, compute: Callable[..., Any], width: int
) -> NDArray[np.float32]:
    import torch

    model.eval()
    rows = np.zeros((len(tokens), width), dtype=np.float32)
    with torch.inference_mode():
        for batch in sorted_batches([len(item) for item in tokens], batch_size):
            ids, mask = (torch.from_numpy(a).to(model.device) for a in pad([tokens[index] for index in batch]))
            rows[batch] = compute(input_ids=ids, attention_mask=mask).float().cpu().numpy()
    return rows
