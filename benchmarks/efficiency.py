"""Efficiency of the bundles: latency of short and long texts, cold start, memory, size, rows per second.

    python -m benchmarks.efficiency
    python -m benchmarks.efficiency --quick

The bundles of `models/`, in one process and interleaved; batch scoring also against `transformers.pipeline` on the
teacher, in turns over several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.material import median_estimate, write_report
from pipeline_steps import evaluate
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_report
from ratchet.measure.footprint import footprint
from ratchet.measure.latency import interleaved_ms, percentile_estimate, percentile_ratio, resamples
from ratchet.models.bundle import size_mb
from ratchet.models.discovery import MODELS
from ratchet.models.predictor import Predictor
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges


class Size(NamedTuple):
    """Size of the measurement."""

    short: int
    long: int
    rounds: int
    """Rounds of latency over all texts."""
    starts: int
    """Processes started for each bundle."""
    rows: int
    """Texts that are scored in batches."""
    scoring_rounds: int


FULL, QUICK = Size(100, 40, 3, 3, 600, 3), Size(4, 4, 1, 1, 16, 1)
SHORT_WORDS = (18, 26)
"""Words of a short text, about 27 tokens."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.efficiency", description="What the bundles take.")
    parser.add_argument("bundles", nargs="*", help="names; default: teacher, student, pruned and the promoted one")
    parser.add_argument("--quick", action="store_true", help="a few texts once, and no report: see that it runs")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    params = load_params(evaluate.Params, "evaluate", length_edges=read_length_edges(LENGTH_EDGES))
    chosen = read_report(Path("reports/decision.json")).get("chosen")
    usual = ["teacher"] if options.quick else ["teacher", "student", "pruned"]
    names = options.bundles or [*usual, *([chosen] if chosen else [])]
    names = list(dict.fromkeys(["teacher", *names]))
    paths = {name: MODELS / name for name in names}
    splits = Path(evaluate.READS["splits"])
    test, transfer = (read_table(splits / f"{name}.parquet", SPLIT) for name in ("test", "transfer"))
    rng = np.random.default_rng(params.seed)
    sets = {
        "short": short_texts(test, size.short, rng),
        "long": evaluate.long_texts(test, transfer, params.model_copy(update={"n_long": size.long}), rng),
    }
    predictors = {name: load(path, params.n_threads) for name, path in paths.items()}
    figures: dict[str, Any] = {name: {} for name in names}
    for kind, texts in sets.items():
        for name, found in latencies(predictors, texts, size.rounds, rng).items():
            figures[name][kind] = found
            print(f"{name:24} {kind:6} p95 {found['p95_ms']['value']:7.1f} ms", flush=True)
    for name, path in paths.items():
        figures[name] |= served(path, sets["short"][:20], params.n_threads, size.starts)
        print(f"{name:24} {figures[name]['size_mb']:7.1f} MB on disk", flush=True)
    rows = test["text"].head(size.rows).tolist()
    scoring = rows_per_second(predictors, paths["teacher"], rows, params.n_threads, size.scoring_rounds)
    report = {"bundles": figures, "scoring": scoring, "chosen": chosen}
    if not options.quick:
        write_report("efficiency", report, params.n_threads, " ".join(options.bundles))


def short_texts(test: pd.DataFrame, n: int, rng: np.random.Generator) -> list[str]:
    """`n` texts of ordinary length, chosen at random."""
    low, high = SHORT_WORDS
    texts = [text for text in test["text"] if low <= len(text.split()) <= high]
    return [texts[index] for index in rng.choice(len(texts), min(n, len(texts)), replace=False)]


def latencies(
    predictors: dict[str, Predictor], texts: Sequence[str], n_rounds: int, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """p50, p95 and p99 of one text at a time, and how they compare with the teacher's, each with its interval."""
    times = interleaved_ms(predictors, texts, n_rounds, rng)
    draws = resamples(len(texts), 1000, rng)
    return {
        name: {
            f"p{percent}_{unit}": made.to_json()
            for percent in (50, 95, 99)
            for unit, made in (
                ("ms", percentile_estimate(taken, percent)),
                ("speedup", percentile_ratio(times["teacher"], taken, percent, draws)),
            )
        }
        for name, taken in times.items()
    }


def served(path: Path, texts: Sequence[str], n_threads: int, n_starts: int) -> dict[str, Any]:
    """Size, and what a process of its own takes: the median of several starts."""
    starts = [footprint(path, texts, n_threads) for _ in range(n_starts)]
    return {
        "size_mb": size_mb(path),
        "peak_memory_mb": median_estimate([start.peak_memory_mb for start in starts]),
        "cold_start_s": median_estimate([start.cold_start_s for start in starts]),
    }


def rows_per_second(
    predictors: dict[str, Predictor], teacher: Path, texts: Sequence[str], n_threads: int, n_rounds: int
) -> dict[str, Any]:
    """Rows scored a second by each bundle and by `transformers.pipeline`, and the ratios within each round."""
    scorers: dict[str, Callable[[], Any]] = {
        "transformers.pipeline": pipeline_scorer(teacher, texts, n_threads, batch_size=1),
        "transformers.pipeline, batches of 32": pipeline_scorer(teacher, texts, n_threads, batch_size=32),
    }
    for name, predictor in predictors.items():
        scorers[name] = lambda predictor=predictor: predictor.predict_proba(texts)  # type: ignore[misc]
    wall: dict[str, list[float]] = {name: [] for name in scorers}
    cpu: dict[str, list[float]] = {name: [] for name in scorers}
    for _ in range(n_rounds):
        for name, score in scorers.items():
            began, used = time.perf_counter(), time.process_time()
            score()
            wall[name].append(len(texts) / (time.perf_counter() - began))
            cpu[name].append(len(texts) / (time.process_time() - used))
    report = {}
    for name in scorers:
        report[name] = {
            "rows_per_second": median_estimate(wall[name]),
            "rows_per_cpu_second": median_estimate(cpu[name]),
            **{
                f"against_{reference}": median_estimate(
                    [mine / theirs for mine, theirs in zip(wall[name], wall[other], strict=True)]
                )
                for reference, other in zip(("pipeline", "pipeline_batched"), list(scorers)[:2], strict=True)
            },
        }
        found = report[name]["rows_per_second"]["value"]
        print(f"{name:40} {found:7.0f} rows/s", flush=True)
    return report


def pipeline_scorer(teacher: Path, texts: Sequence[str], n_threads: int, batch_size: int) -> Callable[[], Any]:
    """`transformers.pipeline` on the teacher, as its documentation shows it."""
    import torch
    from transformers import AutoTokenizer, pipeline

    from ratchet.models.pooling import load_pooled

    if n_threads:
        torch.set_num_threads(n_threads)
    score = pipeline(
        "text-classification",
        model=load_pooled(teacher),
        tokenizer=AutoTokenizer.from_pretrained(teacher),
        top_k=None,
        device=-1,
    )
    return lambda: score(list(texts), batch_size=batch_size, truncation=True, max_length=128)


if __name__ == "__main__":
    entry(main)
