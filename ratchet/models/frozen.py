"""Training a head on cached features of a frozen encoder, which runs once instead of in every epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.models.batching import Tokens, pad, sorted_batches
from ratchet.models.examples import Examples
from ratchet.models.fit_params import FitParams
from ratchet.models.training import Fit, fit

if TYPE_CHECKING:
    from ratchet.models.validation_scores import EpochMetric


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
    """As `fit`, for a model whose encoder is frozen, with the encoder's work done once instead of in every epoch."""
    began = time.perf_counter()
    tokens = [*train.tokens, *validation.tokens]
    encoder, name = model.base_model, model.base_model_prefix
    setattr(model, name, _encode_once(model, tokens, params.batch_size))
    try:
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


def _encode_once(model: Any, tokens: Sequence[Tokens], batch_size: int) -> Any:
    """A stand-in for the encoder that keeps the features of these texts."""
    import torch

    from ratchet.models.kept_outputs import KeptOutputs

    features = torch.zeros(len(tokens), model.config.hidden_size, device=model.device)
    model.eval()
    with torch.no_grad():
        for batch in sorted_batches([len(item) for item in tokens], batch_size):
            ids, mask = (torch.from_numpy(a).to(model.device) for a in pad([tokens[index] for index in batch]))
            features[batch] = model.features(input_ids=ids, attention_mask=mask)
    return KeptOutputs(features)
