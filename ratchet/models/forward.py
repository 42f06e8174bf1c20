"""A trainable model's logits, outside of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.batching import Tokens, pad, sorted_batches


def logits_of(model: Any, tokens: Sequence[Tokens], batch_size: int = 32) -> NDArray[np.float32]:
    """The model's logits, (n_texts, n_classes), in the order of `tokens`."""
    import torch

    model.eval()
    logits = np.zeros((len(tokens), model.config.num_labels), dtype=np.float32)
    with torch.inference_mode():
        for batch in sorted_batches([len(item) for item in tokens], batch_size):
            ids, mask = (torch.from_numpy(a).to(model.device) for a in pad([tokens[index] for index in batch]))
            logits[batch] = model(input_ids=ids, attention_mask=mask).logits.float().cpu().numpy()
    return logits
