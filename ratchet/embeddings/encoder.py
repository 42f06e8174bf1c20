"""Frozen-backbone sentence embeddings: the pretrained encoder without any training on the task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.fused_graph import build_encoder, is_supported
from ratchet.compress.graph_session import batches_through, fits_a_graph
from ratchet.embeddings.table import Embeddings
from ratchet.models.batching import Tokens, encode, load_tokenizer, pad, sorted_batches


def embedding_size(folder: Path) -> int:
    """Numbers in one embedding of the backbone in `folder`."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(folder, local_files_only=True).hidden_size)


Batch = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Indices of texts, attention mask (batch, tokens), last hidden states (batch, tokens, hidden)."""


def embed(folder: Path, texts: Sequence[str], max_tokens: int, n_threads: int, batch_size: int) -> Embeddings:
    """The mean of the last hidden states over a text's tokens, (n_texts, hidden); no texts give (0, hidden).

    The first of them instead where the backbone was pretrained so, as its classifiers pool: see `pooling_of`.

    Args:
        folder: a backbone with config.json, model.safetensors and tokenizer.json.
        texts: any texts; an empty one is its special tokens.
        max_tokens: longer texts are cut.
        n_threads: threads for the arithmetic; 0: as the libraries choose. The last bits depend on it.
        batch_size: texts of similar length in one forward pass.

    On a GPU where there is one; on a CPU by the fused graph where there is one for the backbone. Source: mean pooling
    as in Reimers & Gurevych 2019, Sentence-BERT, https://arxiv.org/abs/1908.10084.
    """
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    from ratchet.models.pooling import pooling_of

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if n_threads:
        torch.set_num_threads(n_threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval().to(device)
    tokens = encode(load_tokenizer(folder, max_tokens), texts)
    if is_supported(model) and fits_a_graph(model):
        batches = batches_through(build_encoder(model), tokens, n_threads, batch_size)
    else:
        batches = eager_batches(model, tokens, batch_size)
    if pooling_of(folder) == "first":
        batches = ((batch, mask[:, :1], hidden[:, :1]) for batch, mask, hidden in batches)
    return pooled(batches, len(texts), model.config.hidden_size)


def pooled(batches: Iterable[Batch], n_texts: int, n_hidden: int) -> Embeddings:
    """The mean of each text's hidden states over its tokens, (n_texts, n_hidden)."""
    embeddings = np.zeros((n_texts, n_hidden), dtype=np.float32)
    for batch, mask, hidden in batches:
        weight = mask[..., None].astype(np.float32)  # (batch, tokens, 1)
        embeddings[batch] = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
    return embeddings


def eager_batches(model: Any, tokens: Sequence[Tokens], batch_size: int) -> Iterator[Batch]:
    """The texts through the backbone in eager PyTorch, where the model is."""
    import torch

    for batch in sorted_batches([len(item) for item in tokens], batch_size):
        ids, mask = pad([tokens[index] for index in batch])
        with torch.inference_mode():
            feed = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            output = model(**{name: value.to(model.device) for name, value in feed.items()})
        yield batch, mask, output.last_hidden_state.float().cpu().numpy()
