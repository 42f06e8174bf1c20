"""A reference and settings for the bench of the monitor, of made-up words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ratchet.monitoring.settings import SETTINGS_FILE, MonitorParams
from ratchet.params import load_params

if TYPE_CHECKING:
    from ratchet.monitoring.reference import Reference

N_REFERENCE = 3000


def params() -> MonitorParams:
    """The settings of live.yaml, for texts without patterns or people."""
    path = Path(__file__).parents[1] / SETTINGS_FILE
    found = load_params(MonitorParams, "monitor", path, length_edges=[12, 25])
    return found.model_copy(update={"slices": ["length"], "attributes": [], "n_splits": 200})


def reference() -> Reference:
    """A profile of texts like those of the bench's log."""
    from ratchet.monitoring.drift import Sample
    from ratchet.monitoring.features import text_features
    from ratchet.monitoring.moved import count_words
    from ratchet.monitoring.reference import make_reference
    from ratchet.trust.slices import length_groups

    rng = np.random.default_rng(7)
    words = np.array([f"word{i}" for i in range(2000)])
    texts = [" ".join(line) for line in words[rng.integers(0, len(words), (N_REFERENCE, 18))]]
    positive = rng.random(N_REFERENCE)
    y_true = (rng.random(N_REFERENCE) < positive).astype(np.int64)
    sample = Sample(
        text_features(texts, None), np.stack([1 - positive, positive], axis=1), np.ones(N_REFERENCE, dtype=bool)
    )
    groups = {"length": length_groups(texts, [12, 25])}
    labels = ["negative", "positive"]
    return make_reference("words@0123456789ab", labels, sample, y_true, groups, [1000], 200, 13, count_words(texts))
