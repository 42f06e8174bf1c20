"""Cascades: the static student answers the texts that it is sure of, a transformer in integers all others.

A cascade is a bundle of its own that holds both. The threshold is chosen by how often the two disagree; where the
transformer would still read too many texts, no cascade is built. Source: Varshney & Baral 2022, Model Cascading,
https://aclanthology.org/2022.emnlp-main.756.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pydantic import Field

from ratchet.compress.cascade import Threshold, choose_threshold, expected_speedup
from ratchet.engines.kinds.cascade import write_cascade
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.ladder import CascadeRungs, reason_not_asked
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import class_indices
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.models.predictor import Predictor
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import TrainThreads

FIRST = "static"
"""The bundle that answers first."""
READS = {"first": f"models/{FIRST}", "second": "models/{second}", "splits": "data/splits"}
WRITES = {"bundle": "models/cascade-{second}", "report": "reports/cascade/{second}.json"}


class Params(PrimaryMetricParams):
    """How sure the first model has to be, and what a cascade has to gain."""

    max_loss: float = Field(ge=0)
    """Of the primary metric: what may be expected to be lost where the first model answers."""
    min_loss_per_disagreement: float = Field(ge=0)
    """Of the primary metric: what is counted at least for a text on which the two disagree, whatever was measured."""
    min_speedup: float = Field(ge=1)
    """Times the transformer's throughput, by tokens that it need not read; with less no cascade is built."""
    rungs: CascadeRungs
    n_threads: TrainThreads


class Chosen(NamedTuple):
    """A cascade before it is written."""

    threshold: Threshold
    expected_speedup: float
    """Times the transformer's throughput."""
    n_texts: int
    """Labelled validation texts that it was chosen on."""
    reason: str
    """Why it is not built; empty where it is."""

    def to_json(self) -> dict[str, Any]:
        """The figures for a report."""
        found = self.threshold
        return {
            "threshold": found.threshold,
            "answered_rate": float(found.answered.mean()),
            "disagreement": found.disagreement,
            "answered_disagreement": found.answered_disagreement,
            "loss_per_disagreement": found.loss_per_disagreement,
            "expected_speedup": self.expected_speedup,
            "n_texts": self.n_texts,
        }


def run(first: Predictor, second: Predictor, validation: pd.DataFrame, params: Params) -> Threshold:
    """The threshold that labelled validation texts allow."""
    texts, labels = validation["text"].tolist(), second.labels
    metric, y_true = params.metric_of(labels), class_indices(validation, labels)
    cheap, dear = first.predict_proba(texts), second.predict_proba(texts)
    better = 1 if metric.greater_is_better else -1
    loss = better * (metric.value(y_true, dear) - metric.value(y_true, cheap))
    return choose_threshold(
        cheap,
        dear,
        loss,
        max_loss=params.max_loss,
        min_loss_per_disagreement=params.min_loss_per_disagreement,
    )


def choose(first: Path, second: Path, validation: pd.DataFrame, params: Params) -> Chosen:
    """The cascade of two bundles, and whether it pays."""
    dear = load(second, params.n_threads)
    found = run(load(first, params.n_threads), dear, validation, params)
    tokenizer = load_tokenizer(second, dear.manifest.max_tokens)
    speedup = expected_speedup(encode(tokenizer, validation["text"].tolist()), found.answered)
    reason = ""
    if speedup < params.min_speedup:
        reason = (
            f"{first.name} is sure of {found.answered.mean():.0%} of the texts: {speedup:.1f} times the throughput of "
            f"{second.name}, asked for are {params.min_speedup:g}"
        )
    return Chosen(found, speedup, len(validation), reason)


def main() -> None:
    params, name = load_params(Params, "cascade"), sys.argv[1]
    first, second = (Path(READS[part].format(second=name)) for part in ("first", "second"))
    target, report = (Path(WRITES[part].format(second=name)) for part in ("bundle", "report"))
    command = {"command": f"python -m pipeline_steps.cascade {name}"}
    reason = reason_not_asked(target.name, params.rungs) or reason_left_out(first) or reason_left_out(second)
    if reason:
        write_report(report, {**command, **leave_out(target, reason)})
        return
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    chosen = choose(first, second, validation, params)
    if chosen.reason:
        write_report(report, {**command, **chosen.to_json(), **leave_out(target, chosen.reason)})
        return
    write_cascade(target, target.name, first, second, chosen.threshold.threshold, sha256_json(params.model_dump()))
    write_report(report, {**command, **chosen.to_json()})


if __name__ == "__main__":
    entry(main)
