"""Shared inputs of the benchmarks: the pipeline's data and params, and writing of reports."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_steps import train
from ratchet.files import write_json
from ratchet.measure.estimate import Estimate
from ratchet.measure.machine import describe_machine
from ratchet.measure.primary import PrimaryMetric
from ratchet.models.architecture import read_architecture
from ratchet.models.backbones import load_classifier, resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import Examples, class_indices, class_names
from ratchet.models.forward import features_of
from ratchet.models.head_start import classifier_from
from ratchet.models.probe import fit_probe
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

PROBE_REGULARIZATION = 10.0
"""Inverse regularization of the probes from which benchmarks start."""
REPORTS = Path("reports/bench")
SCRATCH = Path(".scratch/bench")


@dataclass(frozen=True)
class Task:
    """Texts to train on, to choose by and to test on, as the `train` block of params.yaml sees them."""

    params: train.Params
    backbone: Path
    labels: list[str]
    train: Examples
    validation: Examples
    test: Examples

    @property
    def metric(self) -> PrimaryMetric:
        """The task's primary metric."""
        return self.params.metric_of(self.labels)

    def new_model(self) -> Any:
        """The backbone with the probe of the training texts as its head, as `train` starts."""
        frozen = load_classifier(self.backbone, len(self.labels))
        vectors = features_of(frozen, self.train.tokens) / frozen.config.feature_norm
        probe = fit_probe(vectors, self.train.hard, len(self.labels), PROBE_REGULARIZATION)
        return classifier_from(self.backbone, probe, np.zeros(len(self.labels)))


def read_task(n_train: int, n_validation: int, n_test: int, params: train.Params | None = None) -> Task:
    """So many of the labels that were bought, and of the other splits' texts, chosen by the params' seed."""
    params = params or load_params(train.Params, "train", length_edges=read_length_edges(LENGTH_EDGES))
    chosen = read_architecture(Path(train.READS["architecture"])).backbone
    folder = resolve_backbone(chosen.source, chosen.sha256)
    tokenizer = load_tokenizer(folder, params.max_tokens)
    splits = Path(train.READS["splits"])
    labeled = read_table(Path(train.READS["labeled"]), LABELED)
    validation, test = (
        read_table(splits / f"{name}.parquet", SPLIT).dropna(subset="label") for name in ("validation", "test")
    )
    labels = class_names(validation)

    def examples(frame: pd.DataFrame, n: int) -> Examples:
        frame = frame.sample(min(n, len(frame)), random_state=params.seed)
        return Examples(encode(tokenizer, frame["text"].tolist()), class_indices(frame, labels))

    return Task(
        params,
        folder,
        labels,
        examples(labeled, n_train),
        examples(validation, n_validation),
        examples(test, n_test),
    )


def n_tokens(examples: Examples) -> int:
    """Tokens without padding."""
    return sum(map(len, examples.tokens))


def median_estimate(values: list[float]) -> dict[str, Any]:
    """The median of repetitions with their range, which for so few stands for an interval."""
    return Estimate(float(np.median(values)), min(values), max(values), len(values)).to_json()


def write_report(name: str, figures: dict[str, Any], n_threads: int, options: str = "") -> Path:
    """`reports/bench/NAME.json`: the figures, the command that made them, the machine."""
    path = REPORTS / f"{name}.json"
    command = f"python -m benchmarks.{name} {options}".strip()
    write_json(path, {"command": command, "machine": describe_machine(n_threads), **figures})
    print(f"written: {path}")
    return path


def peak_memory_mb() -> float:
    """Peak resident memory of this process, in megabytes (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
