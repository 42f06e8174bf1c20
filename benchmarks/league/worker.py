"""One contestant on one cell, in its own environment: trains, predicts, times and saves; no import of Ratchet.

    PYTHON -m benchmarks.league.worker FOLDER

FOLDER holds `job.json`; `proba.npy` and `result.json` are written beside it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.league.interface import Model, Task, cpu_seconds

N_LATENCY, N_WARM_UP, MIN_LATENCY, LATENCY_S = 200, 5, 20, 60.0
"""Test texts that are timed one by one, those that are predicted before the clock starts, and the fewest that are timed
where so many seconds are over."""


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    pin_to_cores(job["n_threads"])
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    task = Task(
        texts=job["texts"],
        targets=job["targets"],
        n_classes=job["n_classes"],
        metric=job["metric"],
        seed=job["seed"],
        n_threads=job["n_threads"],
        max_tokens=job["max_tokens"],
        backbone=Path(job["backbone"]),
        scratch=scratch,
        cpu_budget_s=job["cpu_budget_s"],
    )
    contestant: Any = import_module(f"benchmarks.league.contestants.{job['module']}")  # its imports are no training
    began, used = time.perf_counter(), cpu_seconds()
    model: Model = contestant.train(task)
    figures = {"cpu_s": cpu_seconds() - used, "wall_s": time.perf_counter() - began}
    proba = np.asarray(model.predict_proba(job["test_texts"]), dtype=np.float64)
    if proba.shape != (len(job["test_texts"]), task.n_classes) or not np.isfinite(proba).all():
        raise ValueError(f"probabilities of shape {proba.shape}, or not finite")
    saved = folder / "model"
    saved.mkdir()
    model.save(saved)
    result = {
        **figures,
        **latency(model, job["test_texts"]),
        "size_mb": sum(path.stat().st_size for path in saved.rglob("*") if path.is_file()) / 1e6,
        "versions": {name: version(name) for name in job["packages"]},
        "notes": getattr(model, "notes", {}),
    }
    np.save(folder / "proba.npy", proba)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def latency(model: Model, texts: list[str]) -> dict[str, float]:
    """Wall time of a single text, in milliseconds: median and 95th percentile, and of how many texts."""
    for text in texts[:N_WARM_UP]:
        model.predict_proba([text])
    taken: list[float] = []
    for text in texts[:N_LATENCY]:
        if len(taken) >= MIN_LATENCY and sum(taken) > LATENCY_S * 1000:
            break
        began = time.perf_counter()
        model.predict_proba([text])
        taken.append((time.perf_counter() - began) * 1000)
    return {"n_timed": len(taken), "p50_ms": float(np.percentile(taken, 50)), "p95_ms": float(np.percentile(taken, 95))}


def end_with_parent(parent: int) -> None:
    """End this process when the one that started it was killed: nobody would read what it finds."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def pin_to_cores(n: int) -> None:
    """Keep this process and its children to the first n cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
