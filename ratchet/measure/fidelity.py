"""Fidelity of a compressed bundle to its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ratchet.engines.loading import load
from ratchet.models.bundle import size_mb


def fidelity(source: Path, target: Path, texts: Sequence[str], n_threads: int) -> dict[str, object]:
    """Both bundles loaded from disk and compared on `texts`, and their sizes.

    `agreement` is the share of texts with the same predicted class, in [0, 1]; `mean_absolute_difference` that of
    the probabilities, in [0, 1], 0 when nothing changed.
    """
    before, after = (load(path, n_threads).predict_proba(texts) for path in (source, target))
    return {
        "n_texts": len(texts),
        "agreement": float(np.mean(before.argmax(1) == after.argmax(1))),
        "mean_absolute_difference": float(np.abs(before - after).mean()),
        "size_mb_before": size_mb(source),
        "size_mb": size_mb(target),
    }
