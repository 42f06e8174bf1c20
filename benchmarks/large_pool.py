"""One query of each strategy on a pool made large: embeddings resampled with noise, in half precision on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ratchet.labels.pool import Embeddings, chunks
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.selection_model import unit_length

NOISE = 0.02
"""Standard deviation of what is added to each coordinate of a resampled embedding."""
N_LABELED, BATCH_SIZE = 1000, 100

ONE_QUERY = """
import json, sys, time
import numpy as np
from ratchet.labels.pool import Pool
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.selection_model import fit_selection_model
path, n, hidden, n_labeled, size, name = sys.argv[1], *map(int, sys.argv[2:6]), sys.argv[6]
pool = np.memmap(path, dtype=np.float16, mode="r", shape=(n, hidden))
started, wall = time.process_time(), time.monotonic()
rng = np.random.default_rng(0)
labeled = np.zeros(n, dtype=bool)
known = np.sort(rng.choice(n, n_labeled, replace=False))
labeled[known] = True
points = np.asarray(pool[known], dtype=np.float32)
model = fit_selection_model(points, (points @ rng.normal(size=hidden) > 0).astype(np.int64), 2, 2.0)
asked = QUERY_STRATEGIES[name](Pool(pool, labeled, model(pool), model.draw_proba), size, rng)
assert len(set(asked.tolist())) == size
status = open("/proc/self/status").read() if sys.platform == "linux" else ""
kb = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith(("VmHWM", "RssAnon"))}
print(json.dumps({"cpu_s": time.process_time() - started, "wall_s": time.monotonic() - wall,
                  "peak_mb": kb["VmHWM"] * 1024 / 1e6 if kb else None,
                  "not_mapped_mb": kb["RssAnon"] * 1024 / 1e6 if kb else None}))
"""


def measure(embeddings: Embeddings, n: int, scratch: Path) -> dict[str, Any]:
    """CPU seconds and memory (10^6 bytes) of a fit, a scoring of all `n` texts and a query, each in its own process.

    The peak is what Linux calls the high-water mark, elsewhere null: the process's own, where `ru_maxrss` would be at
    least its parent's. Of it, pages of the mapped file are a part that the system takes back when memory is short;
    `not_mapped_mb` is what the process holds for itself at the end.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    path, hidden, rng = scratch / f"pool-{n}.f16", embeddings.shape[1], np.random.default_rng(0)
    pool = np.memmap(path, dtype=np.float16, mode="w+", shape=(n, hidden))
    for part in chunks(n):
        rows = embeddings[rng.integers(0, len(embeddings), part.stop - part.start)]
        noise = NOISE * rng.standard_normal(rows.shape, dtype=np.float32)
        pool[part] = unit_length(rows + noise)
    pool.flush()
    found = {}
    for name in QUERY_STRATEGIES:
        sizes = [str(value) for value in (n, hidden, N_LABELED, BATCH_SIZE)]
        command = [sys.executable, "-c", ONE_QUERY, str(path), *sizes, name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
        print(f"{name}: {found[name]['cpu_s']:.1f} CPU-s, peak {found[name]['peak_mb'] or 0:.0f} MB", flush=True)
    path.unlink()
    return {"n_pool": n, "hidden": hidden, "n_labeled": N_LABELED, "batch_size": BATCH_SIZE, "strategies": found}
