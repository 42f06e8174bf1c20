"""Every bundle through the one `Predictor` interface: quality with intervals, latency, throughput, size, memory, cost.

Quality is that on the validation texts: bundles are chosen by it, and what is chosen is judged on the sealed test.
Timings are interleaved over bundles within one process; quality differences are paired over texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

import ratchet.params
from ratchet.data.words import tokens
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.errors import BundleError
from ratchet.measure.challenge import (
    CHALLENGE_METRICS,
    KINDS,
    challenge_metrics,
    challenge_parts,
    failures,
    match_cases,
    predict_cases,
)
from ratchet.measure.comparison import (
    Measured,
    Rates,
    against,
    best_of,
    draw,
    majority_proba,
    metrics_of,
    quality_against,
    slice_metrics,
)
from ratchet.measure.estimate import estimates_json
from ratchet.measure.footprint import Footprint, footprint
from ratchet.measure.latency import interleaved_ms
from ratchet.measure.machine import describe_machine, versions
from ratchet.measure.prediction_table import prediction_table
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import rounded, write_report
from ratchet.measure.scoring import cost_per_million, score
from ratchet.models.bundle import size_mb
from ratchet.models.champion import champion_path
from ratchet.models.discovery import discover
from ratchet.models.examples import class_indices
from ratchet.models.left_out import left_out_of
from ratchet.models.predictor import Predictor
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import CHALLENGE, PREDICTIONS, SPLIT
from ratchet.task import InferenceThreads, LengthEdges, NBins, NBootstrap, Seed
from ratchet.trust.slices import PatternFeatures, Patterns, read_length_edges, slice_masks

READS = {
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "length_edges": "reports/length_edges.json",
    "splits": "data/splits",
    "challenge": "data/challenge.parquet",
    "champion": "models/champion.json",
    "features": "data/lexicons/features.yaml",
}
WRITES = {
    "predictions": "data/predictions.parquet",
    "report": "reports/evaluate.json",
    "metrics": "reports/metrics.json",
    "measurements": "measurements/evaluate.json",
}
HEADLINES = ("accuracy", "macro_f1", "ece", "size_mb")
"""The metrics that `dvc metrics diff` shows in a review; all of them stand in the report."""
VALIDATION = "validation"
REFERENCES = ("baseline", "teacher", "champion")
"""Bundles with which every other one is compared, beside the best deployable one and a constant answer."""


class Price(ratchet.params.Params):
    """A kind of machine and what it costs."""

    machine: str = Field(min_length=1)
    """Its name in reports."""
    usd_per_core_hour: float = Field(gt=0)
    """Price of one processor core for an hour, in US dollars."""


class Params(PrimaryMetricParams):
    """On how much the figures rest."""

    slices: list[str] = Field(min_length=0)
    """Features whose groups are measured apart: length, one of data/lexicons/features.yaml, or a column of the data."""
    length_edges: LengthEdges
    n_failures: int = Field(ge=0, le=100)
    """Challenge cases on which most bundles fail, of which the report shows so many."""
    n_bootstrap: NBootstrap
    n_bins: NBins
    n_latency: int = Field(ge=20)
    """Validation texts whose latency is measured at batch 1, chosen at random."""
    n_rounds: int = Field(ge=1)
    """Times each of them is measured; the median counts."""
    n_long: int = Field(ge=2)
    """Long texts, of both domains, whose latency is measured too; a bundle cuts them to its own limit."""
    long_words: int = Field(ge=1)
    """Words from which a text is long; where there are too few such texts, the longest ones are taken."""
    n_chunks: int = Field(ge=2)
    """Chunks into which the validation texts are cut to measure throughput."""
    prices: list[Price] = Field(min_length=1)
    """Machine types to report cost for; the metric itself is at the first one's price."""
    usd_per_gpu_hour: float = Field(gt=0)
    """Price of a GPU for an hour, in US dollars: of the one that torch uses, where there is one."""
    watts_per_core: float = Field(gt=0)
    """What a busy core is taken to draw, where there are no energy counters."""
    n_threads: InferenceThreads
    seed: Seed


def run(
    predictors: Mapping[str, Predictor],
    taken: Mapping[str, tuple[float, Footprint]],
    validation: pd.DataFrame,
    transfer: pd.DataFrame,
    challenge: pd.DataFrame,
    patterns: Patterns,
    params: Params,
    candidates: Collection[str],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The predictions of every bundle on both sets, and the report.

    Args:
        predictors: the loaded bundles by name.
        taken: size on disk of each, in megabytes, and what serving it takes.
        validation: labelled texts of the training domain.
        transfer: labelled texts of the other domain; may be empty.
        challenge: cases made from the validation texts; may be empty.
        patterns: the task's own features.
        params: see `Params`.
        candidates: the bundles among which the best one is sought: those that may be released.
    """
    labels = next(iter(predictors.values())).labels
    primary = params.metric_of(labels)
    rng = np.random.default_rng(params.seed)
    cases = match_cases(challenge, class_indices(challenge, labels), validation["id"].tolist())
    y_true, y_transfer = class_indices(validation, labels), class_indices(transfer, labels)
    n_latency = min(params.n_latency, len(validation))
    texts = rng.choice(validation["text"].to_numpy(dtype=object), n_latency, replace=False).tolist()
    print(f"latency: {n_latency} texts × {params.n_rounds} rounds × {len(predictors)} bundles, interleaved", flush=True)
    latencies = interleaved_ms(predictors, texts, params.n_rounds, rng)
    latencies_long = interleaved_ms(predictors, long_texts(validation, transfer, params, rng), params.n_rounds, rng)
    measured: dict[str, Measured] = {}
    challenged: dict[str, tuple[Any, Any]] = {}
    tables = []
    for name, predictor in predictors.items():
        if predictor.labels != labels:
            raise BundleError("Two bundles know different classes.", where=name, got=predictor.labels, expected=labels)
        scored = score(predictor, validation["text"].tolist(), params.n_chunks, np.random.default_rng(params.seed))
        elsewhere = predictor.predict_proba(transfer["text"].tolist())
        predicted = scored.proba.argmax(axis=1)
        challenged[name] = predicted, predict_cases(predictor, cases, predicted)
        tables += [prediction_table(name, VALIDATION, labels, validation, scored.proba)]
        tables += [prediction_table(name, "transfer", labels, transfer, elsewhere)]
        measured[name] = Measured(
            scored, elsewhere.argmax(1) == y_transfer, latencies[name], latencies_long[name], *taken[name]
        )
        print(f"{name}: {len(validation) / scored.wall_s.sum():.0f} texts/s", flush=True)
    n_chunks = len(next(iter(measured.values())).scored.wall_s)
    n_long = len(next(iter(latencies_long.values())))
    draws = draw(len(validation), len(transfer), n_latency, n_long, n_chunks, params.n_bootstrap, params.seed)
    rates = Rates(params.prices[0].usd_per_core_hour, params.usd_per_gpu_hour, params.watts_per_core)
    masks = slice_masks(validation, params.slices, params.length_edges, patterns)
    bundles = {}
    constant = majority_proba(y_true, len(labels))
    best = best_of({name: item.scored.proba for name, item in measured.items() if name in candidates}, y_true, primary)
    for name, item in measured.items():
        references = {other: measured[other] for other in REFERENCES if other in measured} | {"best": measured[best]}
        others = {other: reference for other, reference in references.items() if reference is not item}
        metrics = metrics_of(item, y_true, primary, params.n_bins, rates, draws)
        parts = challenge_parts(cases, y_true, *challenged[name], draws.texts)
        bundles[name] = {
            "metrics": estimates_json(metrics | challenge_metrics(cases, y_true, *challenged[name], draws.texts)),
            "challenge": {kind: estimates_json(shares) for kind, shares in parts.items()},
            "costs": estimates_json(
                {
                    price.machine: cost_per_million(
                        item.scored, price.usd_per_core_hour, params.usd_per_gpu_hour, draws.chunks
                    )
                    for price in params.prices
                }
            ),
            "slices": {n: estimates_json(m) for n, m in slice_metrics(item, y_true, primary, masks, draws).items()},
            "is_best": name == best,
            "against": {
                **{
                    other: estimates_json(against(item, others[other], y_true, primary, rates, draws))
                    for other in others
                },
                "majority": estimates_json(quality_against(item.scored.proba, constant, y_true, primary, draws.texts)),
            },
        }
    without = [kind for kind in KINDS if not cases.of(kind).any()]
    report = {
        "labels": labels,
        "primary_metric": primary.name,
        "n_validation": len(validation),
        "n_transfer": len(transfer),
        "n_challenge": len(challenge),
        "challenge_kinds_without_cases": without,
        "without_cases": {
            **{metric: f"no {kind} cases" for kind in without for metric in CHALLENGE_METRICS[kind]},
            **({} if len(transfer) else {"transfer_accuracy": "no text of another domain is kept"}),
        },
        "bundles": bundles,
        "challenge_failures": failures(cases, validation["text"].tolist(), labels, challenged, params.n_failures),
    }
    return pd.concat(tables, ignore_index=True), report


def served(paths: Mapping[str, Path], texts: Sequence[str], n_threads: int) -> dict[str, tuple[float, Footprint]]:
    """Megabytes on disk, memory and cold start of each bundle, one at a time: two starts share cores, and both wait."""
    return {name: (size_mb(path), footprint(path, texts, n_threads)) for name, path in paths.items()}


def long_texts(validation: pd.DataFrame, transfer: pd.DataFrame, params: Params, rng: np.random.Generator) -> list[str]:
    """`n_long` texts of at least `long_words` words, chosen at random, or the longest ones."""
    texts = [*validation["text"], *transfer["text"]]
    n_words = np.array([len(tokens(text)) for text in texts])
    n_pool = max(min(params.n_long, len(texts)), int((n_words >= params.long_words).sum()))
    pool = np.argsort(-n_words, kind="stable")[:n_pool]
    return [texts[index] for index in rng.choice(pool, min(params.n_long, n_pool), replace=False)]


def main() -> None:
    params = load_params(Params, "evaluate", length_edges=read_length_edges(Path(READS["length_edges"])))
    splits = Path(READS["splits"])
    validation, transfer = (
        read_table(splits / f"{name}.parquet", SPLIT).dropna(subset="label") for name in (VALIDATION, "transfer")
    )
    paths = discover(Path(READS["bundles"]).parent)
    if (champion := champion_path(Path(READS["champion"]))) is not None:
        paths["champion"] = champion
    predictors = {name: load(path, params.n_threads) for name, path in paths.items()}
    texts = validation["text"].head(20).tolist()
    print(f"memory and cold start: {len(paths)} bundles, each in a process of its own", flush=True)
    taken = served(paths, texts, params.n_threads)
    challenge = read_table(Path(READS["challenge"]), CHALLENGE)
    patterns = read_params(PatternFeatures, Path(READS["features"])).patterns
    deployable = [name for name in predictors if name != "champion"]
    predictions, report = run(predictors, taken, validation, transfer, challenge, patterns, params, deployable)
    for name, bundle in report["bundles"].items():
        manifest = predictors[name].manifest
        bundle |= {"kind": manifest.kind, "precision": manifest.precision, "parent": manifest.parent}
        bundle["deployable"] = name in deployable
    report |= {
        "command": "python -m pipeline_steps.evaluate",
        "left_out": left_out_of(Path(READS["bundles"]).parent),
        "machine": describe_machine(params.n_threads) | versions(),
    }
    write_table(Path(WRITES["predictions"]), predictions, PREDICTIONS)
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))
    headlines = {
        name: {metric: rounded(bundle["metrics"][metric])["value"] for metric in HEADLINES}
        for name, bundle in report["bundles"].items()
    }
    write_report(Path(WRITES["metrics"]), headlines)


if __name__ == "__main__":
    entry(main)
