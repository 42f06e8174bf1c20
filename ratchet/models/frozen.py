"""Training a head on cached outputs of a frozen encoder, which runs once instead of in every epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.models.batching import Tokens, pad, sorted_batches
from ratchet.models.examples import Examples
from ratchet.models.fit_params import FitParams
from ratchet.models.training import Fit, fit

if TYPE_CHECKING:
    from ratchet.models.validation_scores import EpochMetric

MAX_LOGIT_DIFFERENCE = 1e-3


def fit_head(
    model: Any,
    train: Examples,
    validation: Examples,
    params: FitParams,
    scratch: Path,
    live: Path | None = None,
    *,
    metric: EpochMetric,
    callbacks: Sequence[Any] = (),
) -> Fit:
    """As `fit`, for a model whose encoder is frozen, with the encoder's work done once instead of in every epoch.

    A head that looks at more than the first token and the pooled vector gets other logits from what was kept; that
    is checked, and such a model is fitted the long way.
    """
    began = time.perf_counter()
    tokens = [*train.tokens, *validation.tokens]
    kept, logits = _encode_once(model, tokens, params.batch_size)
    encoder, name = model.base_model, model.base_model_prefix
    setattr(model, name, kept)
    try:
        if not _same_logits(model, logits):
            setattr(model, name, encoder)
            return fit(model, train, validation, params, scratch, live, metric=metric, callbacks=callbacks)
        rows = [[row] for row in range(len(tokens))]  # the "token" of a text is its row in what was kept
        # what was kept has no embeddings to freeze
        head_params = params.model_copy(update={"train_embeddings": True, "compile_model": False})
        fitted = fit(
            model,
            replace(train, tokens=rows[: len(train)]),
            replace(validation, tokens=rows[len(train) :]),
            head_params,
            scratch,
            live,
            metric=metric,
            callbacks=callbacks,
        )
    finally:
        setattr(model, name, encoder)
    model.eval()
    seconds = time.perf_counter() - began
    n_tokens = sum(map(len, train.tokens)) * (len(fitted.history) - fitted.resumed_at_epoch)
    return replace(fitted, seconds=seconds, tokens_per_second=n_tokens / seconds)


def _encode_once(model: Any, tokens: Sequence[Tokens], batch_size: int) -> tuple[Any, Any]:
    """A stand-in for the encoder, and the logits (n_texts, n_classes) it must reproduce."""
    import torch

    from ratchet.models.kept_outputs import KeptOutputs

    outputs: list[Any] = []
    hook = model.base_model.register_forward_hook(lambda _module, _input, output: outputs.append(output))
    model.eval()
    order, first, logits = [], [], []
    pooled: list[Any] = []
    try:
        with torch.no_grad():
            for batch in sorted_batches([len(item) for item in tokens], batch_size):
                ids, mask = (torch.from_numpy(a).to(model.device) for a in pad([tokens[index] for index in batch]))
                logits.append(model(input_ids=ids, attention_mask=mask).logits)
                output = outputs.pop()
                order.append(batch)
                first.append(output.last_hidden_state[:, 0])
                pooled.append(getattr(output, "pooler_output", None))
    finally:
        hook.remove()
    back = torch.from_numpy(np.argsort(np.concatenate(order))).to(model.device)
    kept = None if pooled[0] is None else torch.cat(pooled)[back]
    return KeptOutputs(torch.cat(first)[back], kept), torch.cat(logits)[back]


def _same_logits(model: Any, logits: Any) -> bool:
    """Whether the head, on what was kept, gives the logits that the whole model gave."""
    import torch

    rows = torch.arange(len(logits), device=logits.device).unsqueeze(1)  # (n_texts, 1)
    try:
        with torch.no_grad():
            again = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError):  # a head that wants something else
        return False
    return again.shape == logits.shape and bool((again - logits).abs().max() <= MAX_LOGIT_DIFFERENCE)
