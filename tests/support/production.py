"""A log of production and a reference, made up of words, whose model is as sure as it is right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from ratchet.monitoring.drift import Sample
from ratchet.monitoring.features import text_features
from ratchet.monitoring.moved import count_words
from ratchet.monitoring.reference import Reference, make_reference
from ratchet.monitoring.settings import MonitorParams
from ratchet.trust.slices import length_groups

START = datetime(2026, 1, 1, tzinfo=UTC)
LABELS = ["negative", "positive"]
WORDS = [
    "film",
    "plot",
    "actor",
    "scene",
    "story",
    "music",
    "camera",
    "light",
    "sound",
    "joke",
    "ending",
    "dialogue",
    "picture",
    "moment",
    "character",
    "script",
    "director",
    "drama",
    "comedy",
    "thriller",
]
PARAMS = MonitorParams(
    window_minutes=60,
    window_rows=10_000,
    window_sizes=[100],
    n_splits=400,
    alpha=0.01,
    max_fall=0.05,
    error_rise=0.1,
    label_horizon=1000,
    label_alpha=0.02,
    max_latency_ms=250.0,
    max_slow_rate=0.05,
    max_error_rate=0.01,
    max_shed_rate=0.05,
    max_empty_rate=0.02,
    max_odd_rate=0.05,
    max_characters=5000,
    max_share_of_key=0.7,
    max_share_of_text=0.2,
    exclude_keys=[],
    exclude_texts=[],
    repeat_share=0.05,
    rate_factor=5.0,
    slices=["length"],
    attributes=[],
    length_edges=[12, 25],
    slice_alpha=0.001,
    min_slice_size=20,
    show_texts=False,
    runbook="docs/monitoring.md",
    silent_minutes=90,
    n_to_label=10,
    seed=13,
)


def texts_of(n: int, rng: np.random.Generator, n_words: int = 15) -> list[str]:
    """Texts of about so many words."""
    sizes = np.maximum(3, rng.poisson(n_words, n))
    return [" ".join(rng.choice(WORDS, size)) for size in sizes]


def proba_of(n: int, rng: np.random.Generator, sureness: float = 2.0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Calibrated probabilities, (n, 2), and classes drawn from them."""
    positive = 1 / (1 + np.exp(-sureness * rng.standard_normal(n)))
    return np.stack([1 - positive, positive], axis=1), (rng.random(n) < positive).astype(np.int64)


def log_of(n: int, seed: int = 0, n_words: int = 15, sureness: float = 2.0, seconds: float = 6.0) -> Any:
    """`n` answered requests, one each so many seconds."""
    rng = np.random.default_rng([99, seed])
    proba, _ = proba_of(n, rng, sureness)
    times = [START + timedelta(seconds=seconds * row) for row in range(n)]
    return pyarrow.table(
        {
            "timestamp": pyarrow.array(times, pyarrow.timestamp("us", "UTC")),
            "request_id": [f"r{row}" for row in range(n)],
            "text": texts_of(n, rng, n_words),
            "predicted": [LABELS[index] for index in proba.argmax(axis=1)],
            "confidence": proba.max(axis=1),
            "model_version": ["m@1"] * n,
            "proba": pyarrow.array(list(proba.astype(np.float32)), pyarrow.list_(pyarrow.float32())),
            "latency_ms": rng.gamma(4.0, 5.0, n),
            "status": pyarrow.array([200] * n, pyarrow.int32()),
            "key_id": [f"k{row % 2}" for row in range(n)],
            "arm": ["champion"] * n,
            "experiment": [""] * n,
        }
    )


def reference_of(rng: np.random.Generator, n: int = 600) -> Reference:
    """The reference of the model `m@1`, made like the log."""
    texts = texts_of(n, rng)
    proba, y_true = proba_of(n, rng)
    sample = Sample(text_features(texts, None), proba, np.ones(n, dtype=bool))
    groups = {"length": length_groups(texts, PARAMS.length_edges)}
    return make_reference(
        "m@1", LABELS, sample, y_true, groups, PARAMS.window_sizes, PARAMS.n_splits, PARAMS.seed, count_words(texts)
    )
