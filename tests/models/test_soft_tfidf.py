"""TF-IDF on probabilities is a pipeline as TF-IDF on labels is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.models.soft_tfidf import fit_soft_pipeline
from ratchet.models.tfidf import load_pipeline, save_pipeline
from tests.support.tiny import reviews


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_stored_and_loaded_as_any_other(n_classes: int, tmp_path: Path) -> None:
    texts = reviews(60, 1)["text"].tolist()
    proba = np.random.default_rng(1).dirichlet([1.0] * n_classes, 60)
    pipeline = fit_soft_pipeline(texts, proba, max_ngram=2, inverse_regularization=50.0)
    predicted = pipeline.predict_proba(texts)
    assert predicted.shape == (60, n_classes)
    assert np.abs(predicted - proba).mean() < 0.5 * np.abs(1 / n_classes - proba).mean()
    save_pipeline(pipeline, tmp_path)
    np.testing.assert_array_equal(load_pipeline(tmp_path).predict_proba(texts), predicted)
