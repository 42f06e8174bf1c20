"""Fidelity of a compressed bundle to its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ratchet.engines.loading import load
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.power import shown_difference
from ratchet.models.bundle import size_mb


def fidelity(source: Path, target: Path, texts: Sequence[str], n_threads: int) -> dict[str, Any]:
    """Both bundles loaded from disk and compared on `texts`, and their sizes.

    `agreement` is the share of texts with the same predicted class, in [0, 1], with its interval, and `power` the
    difference in it that so many texts can show; `mean_absolute_difference` that of the probabilities, in [0, 1], 0
    when nothing changed.
    """
    before, after = (load(path, n_threads).predict_proba(texts) for path in (source, target))
    agreement = proportion_estimate(int(np.sum(before.argmax(1) == after.argmax(1))), len(texts))
    return {
        "n_texts": len(texts),
        "agreement": agreement.to_json(),
        "power": {"agreement": shown_difference(agreement)},
        "mean_absolute_difference": float(np.abs(before - after).mean()),
        "size_mb_before": size_mb(source),
        "size_mb": size_mb(target),
    }
