"""Temperature scaling: the likeliest temperature, folded in without changing a prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.calibration import calibrate, fit_temperature
from ratchet.models.checkpoint import load_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.forward import logits_of
from tests.support.bundles import LABELS, torch_bundle
from tests.support.tiny import reviews


def test_the_temperature_that_spoilt_the_logits_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y_true = (proba.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_temperature(logits * 3, y_true) == pytest.approx(3, rel=0.05)
    assert fit_temperature(logits / 2, y_true) == pytest.approx(0.5, rel=0.05)


@pytest.mark.slow
def test_calibrating_divides_the_logits_and_keeps_every_prediction(tmp_path: Path) -> None:
    bundle = torch_bundle(tmp_path)
    model, manifest = load_model(bundle)
    frame = reviews(60, 3)
    tokens = encode(load_tokenizer(bundle, manifest.max_tokens), frame["text"].tolist())
    before = logits_of(model, tokens)
    temperature = calibrate(model, Examples(tokens, class_indices(frame, LABELS)))
    assert temperature > 1.1  # untrained but sure of itself
    np.testing.assert_allclose(logits_of(model, tokens), before / temperature, atol=1e-5)
