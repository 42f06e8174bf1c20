"""Frozen text embeddings: what a pretrained backbone makes of a text before any training on the task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ratchet.models.batching import encode, load_tokenizer, pad, sorted_batches
from ratchet.models.embedding_table import Embeddings


def embedding_size(folder: Path) -> int:
    """Numbers in one embedding of the backbone in `folder`."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(folder, local_files_only=True).hidden_size)


def embed(folder: Path, texts: Sequence[str], max_tokens: int, n_threads: int, batch_size: int) -> Embeddings:
    """The mean of the last hidden states over a text's tokens, (n_texts, hidden); no texts give (0, hidden).

    Args:
        folder: a backbone with config.json, model.safetensors and tokenizer.json.
        texts: any texts; an empty one is its special tokens.
        max_tokens: longer texts are cut.
        n_threads: threads for the arithmetic; 0: as torch is set. The last bits depend on it.
        batch_size: texts of similar length in one forward pass.

    On a GPU where there is one. Source: mean pooling as in Reimers & Gurevych 2019, Sentence-BERT,
    https://arxiv.org/abs/1908.10084.
    """
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if n_threads:
        torch.set_num_threads(n_threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval().to(device)
    tokens = encode(load_tokenizer(folder, max_tokens), texts)
    embeddings = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for batch in sorted_batches([len(item) for item in tokens], batch_size):
            ids, mask = (torch.from_numpy(array).to(device) for array in pad([tokens[index] for index in batch]))
            hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()  # (batch, tokens, hidden)
            weight = mask.unsqueeze(-1).float()  # (batch, tokens, 1)
            embeddings[batch] = ((hidden * weight).sum(dim=1) / weight.sum(dim=1)).cpu().numpy()
    return embeddings
