"""Scaling of `ingest`: memory and time per row from thousands to millions of rows.

Each size is generated from the real corpus, written to a scratch folder, and read by the real step in a process of its
own, whose peak memory is what Linux calls its high-water mark (VmHWM).

    python -m benchmarks.data_scale --rows 33000 500000 5000000 --format parquet
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.corpora import SHORT_STRATA, STRATA, make_corpus, write_corpus
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[1]
TEXTS = {"real": STRATA, "short": SHORT_STRATA}
"""Which texts are spliced: film reviews of all lengths in their real shares, or snippets of about twenty words."""
REPORT = Path("reports/bench/data_scale.json")
CHILD = """
import re, sys, time
from pathlib import Path
from ratchet.entry import entry
from pipeline_steps.ingest import main
entry(main)
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
Path("cost.txt").write_text(f"{time.process_time()} {peak_kb}")
"""


def measure(n_rows: int, suffix: str, texts: str, scratch: Path, seed: int) -> dict[str, Any]:
    """What `ingest` cost over a generated corpus: rows, CPU and wall seconds, peak memory in MB (10^6 bytes)."""
    folder = scratch / f"{n_rows}"
    folder.mkdir()
    source = folder / f"corpus.{suffix}"
    write_corpus(source, make_corpus(n_rows, seed, strata=TEXTS[texts]))
    params = read_yaml(ROOT / "params.yaml")
    dialect = {"csv": CSV, "jsonl": JSONL, "parquet": PARQUET}[suffix].model_dump()
    block = {"kind": "files", "path": source.name, "sha256": "", "dialect": dialect, "max_bad_rows": 0}
    params["ingest"] |= {"source": block, "watch": source.name}
    (folder / "params.yaml").write_text(json.dumps(params))
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=folder, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    wall_s = time.monotonic() - start_s
    if done.returncode:
        raise PipelineError("The step failed.", where=f"{n_rows} rows", got=f"exit code {done.returncode}")
    cpu_s, peak_kb = (folder / "cost.txt").read_text().split()
    return {
        "n_rows": n_rows,
        "n_rows_out": read_json(folder / "reports/ingest.json")["n_rows"],
        "format": suffix,
        "texts": texts,
        "source_mb": source.stat().st_size / 1e6,
        "cpu_s": float(cpu_s),
        "wall_s": wall_s,
        "rows_per_cpu_s": n_rows / float(cpu_s),
        "peak_mb": int(peak_kb) * 1024 / 1e6,
    }


def table(runs: list[dict[str, Any]]) -> str:
    """The runs as lines for a terminal."""
    lines = [f"{'rows':>10} {'format':>8} {'texts':>6} {'MB':>7} {'CPU s':>7} {'rows/CPU s':>11} {'peak MB':>8}"]
    lines += [
        f"{run['n_rows']:>10,} {run['format']:>8} {run['texts']:>6} {run['source_mb']:>7,.0f} {run['cpu_s']:>7.1f} "
        f"{run['rows_per_cpu_s']:>11,.0f} {run['peak_mb']:>8,.0f}"
        for run in runs
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[33_000, 500_000, 5_000_000])
    parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], default="parquet")
    parser.add_argument("--texts", choices=list(TEXTS), default="real")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--scratch", type=Path, help="folder for what is generated; default: the system's")
    parser.add_argument("--report", type=Path, default=REPORT)
    given = parser.parse_args()
    runs = []
    for n_rows in given.rows:
        with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
            runs.append(measure(n_rows, given.format, given.texts, Path(scratch), given.seed))
    growth = {"rows": runs[-1]["n_rows"] / runs[0]["n_rows"], "peak_memory": runs[-1]["peak_mb"] / runs[0]["peak_mb"]}
    command = " ".join(
        [
            "python -m benchmarks.data_scale --rows",
            *map(str, given.rows),
            "--format",
            given.format,
            "--texts",
            given.texts,
        ]
    )
    write_json(given.report, {"command": command, "runs": runs, "growth_from_first_to_last": growth})
    print(table(runs))
    print(f"{growth['rows']:,.0f} times the rows, {growth['peak_memory']:.2f} times the memory: {given.report}")


if __name__ == "__main__":
    entry(main)
