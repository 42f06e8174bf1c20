"""Recipes by which a model of few labels is made; each gives the probabilities of the test texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import SCRATCH
from benchmarks.recipes.material import Material
from ratchet.compress.graph_session import fused_logits
from ratchet.models.head_start import classifier_from, finished, learner_of, prepared
from ratchet.models.predictor import softmax
from ratchet.models.tfidf import fit_pipeline
from ratchet.models.tfidf_search import choose_tfidf
from ratchet.models.training import fit
from ratchet.models.tuning import Method

Proba = NDArray[np.float64]
Recipe = Callable[[Material], Proba]
MAX_NGRAM, N_STEPS = 2, 60
"""Longest run of words of TF-IDF; optimizer steps at least, half of what params.yaml says."""


def tfidf(material: Material) -> Proba:
    """TF-IDF with the settings that cross-validation chooses."""
    texts, targets = material.texts, material.train.hard
    chosen = choose_tfidf(texts, targets, material.n_classes, material.folds, MAX_NGRAM)
    settings: dict[str, Any] = {
        "max_characters": chosen.max_characters,
        "inverse_regularization": chosen.inverse_regularization,
    }
    pipeline = fit_pipeline(texts, targets.tolist(), max_ngram=MAX_NGRAM, **settings)
    proba: Proba = pipeline.predict_proba(material.test_texts)
    return proba


def probe(material: Material) -> Proba:
    """Logistic regression on frozen embeddings."""
    return softmax(material.probe.logits(material.embedded(material.test_texts)))


def tuned(material: Material, method: Method, **changes: Any) -> Proba:
    """The backbone tuned from its probe, as `train` does, with changes of its params."""
    no_offset = np.zeros(material.n_classes)
    params = material.params.model_copy(update={"min_steps": N_STEPS, **changes})
    model = prepared(classifier_from(material.backbone, material.probe, no_offset), method, params)
    fit(
        model,
        material.train,
        material.validation,
        params,
        SCRATCH / "recipes" / "fit",
        metric=material.metric,
        learner=learner_of(method),
    )
    model = finished(model, method, material.train, no_offset, params.seed)
    return softmax(fused_logits(model, material.test.tokens, params.n_threads))


def patience(material: Material) -> int:
    """The params' patience in proportion to the passes that few texts need for the minimum of steps."""
    params = material.params
    n_epochs = params.model_copy(update={"min_steps": N_STEPS}).epochs(len(material.train))
    return -(-params.patience * n_epochs // params.n_epochs)


FEW_LABELS: dict[str, Recipe] = {
    "TF-IDF": tfidf,
    "probe": probe,
    "fine-tuned from the probe": lambda material: tuned(material, "full"),
    "the same, patience in proportion": lambda material: tuned(material, "full", patience=patience(material)),
    "contrastive": lambda material: tuned(material, "contrastive", patience=patience(material)),
    "contrastive at 3e-5": lambda material: tuned(
        material, "contrastive", patience=patience(material), learning_rate=3e-5
    ),
}
"""Name of the row → its recipe."""
