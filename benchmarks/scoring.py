"""What `ratchet score` takes beside the model itself, and beside `transformers.pipeline` with the teacher.

    python -m benchmarks.scoring                            the repository's own bundles
    python -m benchmarks.scoring --into docs/scoring.md     the report's table into a page
    python -m benchmarks.scoring --quick                    a few rows, no report: whether it runs

Each round takes every contestant in turn on the same rows, drawn from the texts at hand: the bundle's own batches in
memory, the whole command from a CSV file to its shards with languages told and without, and the pipeline with the
fp32 teacher on the share of the rows that it gets through. Ratios are within rounds.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from benchmarks.efficiency import pipeline_scorer
from benchmarks.material import REPORTS, SCRATCH, median_estimate, write_report
from flows.init.sources import Given, place_of
from ratchet.data.sources.source import Source
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_report
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, markdown_table
from ratchet.models.discovery import discover
from ratchet.params import Params, load_params
from ratchet.reporting.marked_block import write_block
from ratchet.scoring.job import Job, score
from ratchet.scoring.scorer import Asked
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import InferenceThreads

FOLDER, TRAIN, MODELS = SCRATCH / "scoring", Path("data/splits/train.parquet"), Path("models")
ROWS = {"static": 200_000}
"""Rows by bundle; `N_ROWS` of any other."""
N_ROWS, N_PIPELINE, N_ROUNDS, SHARD_ROWS = 10_000, 500, 5, 50_000
BUNDLES = ("static", "pruned-onnx-int8")
OWN, WHOLE, BARE, PIPELINE = "the model's own batches", "ratchet score", "ratchet score --no-languages", "pipeline"


def rounds(
    bundle: Path, texts: Sequence[str], n_threads: int, n_rounds: int, peer: Callable[[], Any] | None
) -> dict[str, list[float]]:
    """Contestant → rows a second in each round."""
    folder = FOLDER / bundle.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = folder / "texts.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        writer.writerows([text] for text in texts)
    source = TypeAdapter(Source).validate_python(
        place_of(Path.cwd(), Given(str(table), copy=False, lone="text", is_surveyed=False)).now
    )

    def whole(name: str, languages: tuple[str, ...]) -> Callable[[], int]:
        def run() -> int:
            shutil.rmtree(folder / name, ignore_errors=True)
            asked = Asked("text", (), languages, 0.0, 0.0, 0.0, 64)
            return score(Job(source, bundle, folder / name, asked, SHARD_ROWS, 0, n_threads), lambda *_: None).n_rows

        return run

    predictor = load(bundle, n_threads)
    contestants: dict[str, Callable[[], int]] = {
        OWN: lambda: len(predictor.predict_proba(texts)),
        WHOLE: whole("languages", ("en",)),
        BARE: whole("bare", ()),
    }
    if peer is not None:
        contestants[PIPELINE] = lambda: len(peer())
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(n_rounds):
        for name, run in contestants.items():
            began = time.perf_counter()
            found[name].append(run() / (time.perf_counter() - began))
    shutil.rmtree(folder)
    return found


def figures(rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Medians over rounds: rows a second, the command's part of the model's own, and times the pipeline's."""
    own, whole = np.array(rates[OWN]), np.array(rates[WHOLE])
    found = {
        "rows_per_s": {name: median_estimate([*values]) for name, values in rates.items()},
        "part_of_own": {name: median_estimate((np.array(rates[name]) / own).tolist()) for name in (WHOLE, BARE)},
    }
    if PIPELINE in rates:
        found["times_pipeline"] = median_estimate((whole / np.array(rates[PIPELINE])).tolist())
    return found


def table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""

    def cell(item: dict[str, Any] | None) -> str:
        return "–" if item is None else estimate_text(Estimate.from_json(item))

    rows = [
        [
            name,
            f"{item['n_rows']:,}",
            *(cell(item["rows_per_s"].get(contestant)) for contestant in (OWN, WHOLE, BARE, PIPELINE)),
            *(cell(item["part_of_own"][contestant]) for contestant in (WHOLE, BARE)),
            cell(item.get("times_pipeline")),
        ]
        for name, item in report["bundles"].items()
    ]
    heads = [
        "bundle",
        "rows",
        "own, rows/s",
        "score",
        "without languages",
        PIPELINE,
        "of own",
        "without",
        "times pipeline",
    ]
    made = f"`{report['command']}` on {report['machine']['cpu']}, {report['machine']['n_threads']} threads"
    return "\n".join([f"{made}:", "", *markdown_table(heads, rows)])


class Threads(Params):
    """Threads of inference."""

    n_threads: InferenceThreads


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scoring", description="What scoring a table takes.")
    parser.add_argument("--into", type=Path, help="a Markdown file whose block `scoring` gets the table")
    parser.add_argument("--quick", action="store_true", help="200 rows, one round, no report")
    options = parser.parse_args(arguments)
    if options.into is not None:
        write_block(options.into, "scoring", table(read_report(REPORTS / "scoring.json")))
        return
    known, n_threads = discover(MODELS), load_params(Threads, "").n_threads
    texts = read_table(TRAIN, SPLIT, ["text"])["text"].tolist()
    rng, found = np.random.default_rng(0), dict[str, Any]()
    for name in [name for name in BUNDLES if name in known]:
        n_rows = 200 if options.quick else ROWS.get(name, N_ROWS)
        drawn = [texts[place] for place in rng.integers(len(texts), size=n_rows)]
        peer = _peer(known, drawn[: min(N_PIPELINE, n_rows)], n_threads)
        rates = rounds(known[name], drawn, n_threads, 1 if options.quick else N_ROUNDS, peer)
        found[name] = {"n_rows": n_rows, **figures(rates)}
        print(f"{name}: {found[name]['part_of_own'][WHOLE]['value']:.2f} of its own rate", flush=True)
    if not options.quick:
        write_report("scoring", {"bundles": found}, n_threads)


def _peer(known: Mapping[str, Path], texts: Sequence[str], n_threads: int) -> Callable[[], Any] | None:
    return pipeline_scorer(known["teacher"], texts, n_threads, batch_size=1) if "teacher" in known else None


if __name__ == "__main__":
    entry(main)
