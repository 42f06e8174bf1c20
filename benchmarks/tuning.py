"""Tuning methods side by side: parameters that learn, processor time, peak memory, accuracy.

    python -m benchmarks.tuning

Each method is trained in a process of its own, on the same texts and seed, at a rate that suits it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.material import SCRATCH, peak_memory_mb, read_task, write_report
from ratchet.entry import entry
from ratchet.errors import PipelineError

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "learning_rate": 2e-4},
    "head": {"method": "head"},
    "last_layers": {"method": "last_layers", "learning_rate": 2e-4},
    "bitfit": {"method": "bitfit", "learning_rate": 2e-3},
    "ia3": {"method": "ia3", "learning_rate": 1e-2},
    "lora, all linear layers": {"method": "lora", "learning_rate": 2e-3},
    "lora, queries and values": {"method": "lora", "learning_rate": 2e-3, "lora_targets": ["query", "value"]},
    "rank-stabilised lora, rank 32": {
        "method": "lora",
        "learning_rate": 2e-4,
        "lora_rank": 32,
        "rank_stabilized": True,
    },
    "dora": {"method": "dora", "learning_rate": 2e-3},
    "adapter": {"method": "adapter", "learning_rate": 2e-3},
    "contrastive": {"method": "contrastive", "learning_rate": 1e-4},
}
"""What differs from the `train` block of params.yaml."""
N_TRAIN, N_VALIDATION, N_TEST, N_EPOCHS = 800, 200, 1000, 3


def measure(name: str) -> dict[str, Any]:
    """Train one variant in this process; its figures."""
    import numpy as np
    import torch

    from ratchet.measure.bootstrap import mean_estimate, weights
    from ratchet.models.forward import logits_of
    from ratchet.models.head_start import finished, learner_of
    from ratchet.models.training import fit
    from ratchet.models.tuning import count_parameters, prepare

    task = read_task(N_TRAIN, N_VALIDATION, N_TEST)
    changes = {"n_epochs": N_EPOCHS, "precision": "32-true", **VARIANTS[name]}
    params = task.params.model_copy(update=changes)
    model = task.new_model()
    torch.manual_seed(params.seed)
    model = prepare(
        model,
        VARIANTS[name]["method"],
        lora_rank=params.lora_rank,
        lora_targets=params.lora_targets,
        rank_stabilized=params.rank_stabilized,
        adapter_size=params.adapter_size,
    )
    n_trainable = count_parameters(model, params.train_embeddings)["n_trainable"]
    used, idle_mb = time.process_time(), peak_memory_mb()
    n_epochs = 0
    if params.method != "head":  # the probe is it
        learner = learner_of(VARIANTS[name]["method"])
        fitted = fit(
            model,
            task.train,
            task.validation,
            params,
            SCRATCH / "tuning",
            metric=task.metric,
            learner=learner,
        )
        n_epochs = len(fitted.history)
    cpu_s, memory_mb = time.process_time() - used, peak_memory_mb()
    model = finished(model, VARIANTS[name]["method"], task.train, np.zeros(len(task.labels)), params.seed)
    right = logits_of(model, task.test.tokens).argmax(1) == task.test.hard
    accuracy = mean_estimate(right, weights(len(right), 1000, np.random.default_rng(params.seed)))
    return {
        "learning_rate": params.learning_rate,
        "n_epochs": n_epochs,
        "n_trainable": n_trainable,
        "cpu_s": cpu_s,
        "cpu_s_per_epoch": cpu_s / n_epochs if n_epochs else 0.0,
        "peak_memory_mb": memory_mb,
        "training_memory_mb": memory_mb - idle_mb,
        "accuracy": accuracy.to_json(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description="Tuning methods side by side.")
    parser.add_argument("--variant", choices=list(VARIANTS), help="train one variant here, and print its figures")
    options = parser.parse_args(arguments)
    if options.variant:
        print(json.dumps(measure(options.variant)))
        return
    variants = {}
    for name in VARIANTS:
        variants[name] = _in_a_process(name)
        print(row(name, variants[name]), flush=True)
    task = read_task(1, 1, 1)
    figures = {"n_train": N_TRAIN, "n_epochs": N_EPOCHS, "n_test": N_TEST, "variants": variants}
    write_report("tuning", figures, task.params.n_threads)


def row(name: str, figures: dict[str, Any]) -> str:
    """A line for people who watch."""
    accuracy = figures["accuracy"]
    return (
        f"{name:32} {figures['n_trainable']:>12,} learn  {figures['cpu_s']:6.0f} CPU-s  "
        f"{figures['training_memory_mb']:6.0f} MB  accuracy {accuracy['value']:.3f} "
        f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
    )


def _in_a_process(name: str) -> dict[str, Any]:
    """The figures of a process of its own: its peak memory is that of this variant alone."""
    command = [sys.executable, "-m", "benchmarks.tuning", "--variant", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd())
    if done.returncode != 0:
        raise PipelineError("A variant could not be trained.", where=name, got=done.stderr.strip()[-500:])
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    entry(main)
