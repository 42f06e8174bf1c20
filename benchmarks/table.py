"""The efficiency tables of docs/efficiency.md, from the benchmarks' reports.

Print them, or put them between `<!-- efficiency:start -->` and `<!-- efficiency:end -->` of a Markdown file:

    python -m benchmarks.table
    python -m benchmarks.table docs/efficiency.md
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.material import REPORTS
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import read_report
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, markdown_table, markdown_text, number
from ratchet.reporting.marked_block import write_block


def tables(reports: Mapping[str, Any]) -> str:
    """The tables of those reports that are there, each under the command that made it."""
    writers = {
        "efficiency": efficiency,
        "engines": engines,
        "training": training,
        "tuning": tuning,
    }
    parts = []
    for name, write in writers.items():
        if name in reports:
            machine = reports[name]["machine"]
            made = f"`{reports[name]['command']}` on {markdown_text(machine['cpu'])}, {machine['n_threads']} threads"
            parts += [f"{made}:", "", *write(reports[name]), ""]
    return "\n".join(parts).strip()


def efficiency(report: Mapping[str, Any]) -> list[str]:
    """What each bundle takes, against the teacher, and rows a second against `transformers.pipeline`."""
    columns = [
        "size, MB",
        "p95 short, ms",
        "times faster",
        "p95 long, ms",
        "times faster",
        "cold start, s",
        "memory, MB",
    ]
    rows = [
        [
            name,
            number(b["size_mb"]),
            _value(b["short"]["p95_ms"]),
            _text(b["short"]["p95_speedup"]),
            _value(b["long"]["p95_ms"]),
            _text(b["long"]["p95_speedup"]),
            _value(b["cold_start_s"]),
            _value(b["peak_memory_mb"]),
        ]
        for name, b in report["bundles"].items()
    ]
    scored = [
        [name, _text(s["rows_per_second"]), _text(s["against_pipeline"]), _text(s["against_pipeline_batched"])]
        for name, s in report["scoring"].items()
    ]
    heads = ["rows per second", "times the pipeline's", "times the pipeline's in batches of 32"]
    return [*markdown_table(["bundle", *columns], rows), "", *markdown_table(["scorer", *heads], scored)]


def engines(report: Mapping[str, Any]) -> list[str]:
    """The pruned student in each engine: one text at a time by threads, rows a second by batch and by streams."""
    threads, sizes = (sorted(next(iter(report[part].values())), key=int) for part in ("latency", "batches"))
    rows = [
        [
            name,
            *(_value(taken[n]["p95_ms"]) for n in threads),
            _text(taken[threads[-1]]["p95_speedup"]),
            *(_value(report["batches"][name][size]) for size in sizes),
            _value(report["streams"][name]),
        ]
        for name, taken in report["latency"].items()
    ]
    heads = [
        *(f"p95, ms, {n} thread{'s' * (n != '1')}" for n in threads),
        f"times faster than {report['reference']}",
        *(f"rows/s, batch {size}" for size in sizes),
        f"{report['n_streams']} streams of 1 thread",
    ]
    note = f"Tokenising alone: {_text(report['tokenizing'])} rows a second."
    return [*markdown_table(["engine", *heads], rows), "", note]


def training(report: Mapping[str, Any]) -> list[str]:
    """Tokens a second of each arm."""
    rows = [
        [
            name,
            _text(arm["tokens_per_second"]),
            _text(arm["tokens_per_cpu_second"]),
            _text(arm["accuracy"]),
            _text(report["ratchet_against"][name]["tokens_per_cpu_second"]) if name != "ratchet" else "1",
        ]
        for name, arm in report["arms"].items()
    ]
    heads = ["training", "tokens per second", "per CPU-second", "accuracy", "ratchet is times faster, CPU"]
    return markdown_table(heads, rows)


def tuning(report: Mapping[str, Any]) -> list[str]:
    """What each method trains, takes and reaches."""
    rows = [
        [name, f"{v['n_trainable']:,}", number(v["cpu_s"]), number(v["training_memory_mb"]), _text(v["accuracy"])]
        for name, v in report["variants"].items()
    ]
    return markdown_table(["method", "parameters that learn", "CPU-s", "memory of training, MB", "accuracy"], rows)


def _text(value: dict[str, Any]) -> str:
    return estimate_text(Estimate.from_json(value))


def _value(value: dict[str, Any]) -> str:
    return number(Estimate.from_json(value).value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description="Efficiency as Markdown.")
    parser.add_argument("markdown", type=Path, nargs="?", help="a Markdown file whose marked block is replaced")
    options = parser.parse_args(arguments)
    names = ("efficiency", "engines", "training", "tuning")
    reports = {name: read_report(REPORTS / f"{name}.json") for name in names if (REPORTS / f"{name}.json").is_file()}
    if not reports:
        raise PipelineError("No benchmark has been run here.", where=REPORTS, fix="make bench")
    block = tables(reports)
    if options.markdown is None:
        print(block)
    else:
        write_block(options.markdown, "efficiency", block)


if __name__ == "__main__":
    entry(main)
