"""Samples of made-up requests, with a planted shift of one feature."""

from __future__ import annotations

import numpy as np

from ratchet.monitoring.drift import Sample
from ratchet.monitoring.features import TextFeatures


def sample(n: int, rng: np.random.Generator, shifted: str = "", held_out: bool = True) -> Sample:
    """Features that depend on each other, as those of texts do; one of them moved."""
    common = rng.standard_normal(n)
    n_words = np.rint(np.exp(3 + 0.4 * (common + rng.standard_normal(n)) + 0.4 * float(shifted == "length")))
    fertility = 1.2 + 0.1 * (common + rng.standard_normal(n)) + 0.1 * float(shifted == "fertility")
    fourier = (0.1 * (common[:, None] + rng.standard_normal((n, 16)))).astype(np.float32)
    positive = 1 / (1 + np.exp(-2 * rng.standard_normal(n) - common - 2.0 * float(shifted == "prediction")))
    if shifted == "content":
        fourier += np.float32(0.08)
    return Sample(
        TextFeatures(n_words, fertility, fourier),
        np.stack([1 - positive, positive], axis=1),
        np.full(n, held_out, dtype=bool),
    )
