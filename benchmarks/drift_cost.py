"""Processor cost of monitoring 100,000 requests: the whole inspection of a window, and its parts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.drift_material import Setting
from benchmarks.material import median_estimate
from flows.reference import read_patterns
from ratchet.monitoring.drift import Sample, joined
from ratchet.monitoring.features import load_pieces
from ratchet.monitoring.inspection import inspect_window
from ratchet.monitoring.reference import make_reference
from ratchet.monitoring.settings import read_monitor_params
from ratchet.monitoring.slices import production_groups
from ratchet.monitoring.windows import cut_windows
from ratchet.params import read_params
from ratchet.trust.lexicons import Lexicon

N_ROWS, N_ROUNDS = 100_000, 3


def processor_cost(setting: Setting) -> dict[str, Any]:
    """CPU-seconds to inspect the windows of 100,000 requests, and to make the reference's thresholds."""
    import pandas as pd

    params = read_monitor_params(Path())
    clean, pieces = setting.material.clean, load_pieces(setting.bundle)
    frame = pd.DataFrame({"text": setting.texts.clean})
    sample: Sample = clean if setting.learned is None else joined(clean, setting.learned)
    rest = len(sample) - len(clean)
    lexicon, patterns = read_params(Lexicon, Path("data/lexicons/identity.yaml")), read_patterns(Path())
    groups_of_clean = production_groups(frame, params.slices, params.length_edges, params.attributes, lexicon, patterns)
    groups = {name: np.concatenate([of_clean, np.full(rest, "learned")]) for name, of_clean in groups_of_clean.items()}
    y = np.concatenate([setting.material.y_clean, np.full(rest, -1)])
    began = time.process_time()
    reference = make_reference(
        "bundle@1", ["negative", "positive"], sample, y, groups, params.window_sizes, params.n_splits, params.seed
    )
    thresholds_s = time.process_time() - began
    log = requests(setting, N_ROWS)
    seconds, windows = [], []
    for _ in range(N_ROUNDS):
        began = time.process_time()
        last = log.column("timestamp")[-1].as_py()
        windows = cut_windows(
            log, params.window_minutes, params.window_rows, min(reference.nulls), last + timedelta(days=1)
        )
        earlier: list[dict[str, Any]] = []
        for window in windows:
            earlier.append(inspect_window(window, reference, pieces, earlier, params, lexicon, patterns).figures)
        seconds.append(time.process_time() - began)
    return {
        "n_rows": N_ROWS,
        "n_windows": len(windows),
        "cpu_s": median_estimate(seconds),
        "thresholds_cpu_s": thresholds_s,
    }


def requests(setting: Setting, n: int) -> Any:
    """A log of `n` requests, one each 36 milliseconds, of texts of the domain."""
    import pyarrow

    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(setting.texts.clean), n)
    proba = setting.material.clean.proba[rows]
    labels = np.array(["negative", "positive"])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(milliseconds=36 * row) for row in range(n)]
    return pyarrow.table(
        {
            "timestamp": pyarrow.array(times, pyarrow.timestamp("us", "UTC")),
            "request_id": [f"r{row}" for row in range(n)],
            "text": [setting.texts.clean[row] for row in rows],
            "predicted": labels[proba.argmax(axis=1)],
            "confidence": proba.max(axis=1),
            "model_version": ["bundle@1"] * n,
            "proba": pyarrow.array(list(proba.astype(np.float32)), pyarrow.list_(pyarrow.float32())),
            "latency_ms": rng.gamma(4, 2.0, n),
            "status": np.full(n, 200, dtype=np.int32),
            "key_id": ["a", "b"] * (n // 2),
            "arm": ["champion"] * n,
            "experiment": [""] * n,
        }
    )
