"""Time and memory of a run of the monitor, by the size of the log that is kept.

    python -m benchmarks.monitor_scale [--rows N ...]     by default 100,000 to 10 million
    python -m benchmarks.monitor_scale --into PAGE

A made-up log of so many requests over 90 days, in Parquet files by the hour; the last window is judged, each time in a
process of its own, with the champion's or the accepted bundle's reference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.material import REPORTS, peak_memory_mb, write_report
from ratchet.errors import ParamsError, PipelineError
from ratchet.files import read_json

SIZES = (100_000, 1_000_000, 10_000_000)
N_WINDOW = 2000
DAYS = 90
START, END = "<!-- scale:start -->\n", "<!-- scale:end -->"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--into", type=Path, help="put the table of the last run into this page instead")
    parser.add_argument("--rows", type=int, nargs="+", default=[*SIZES], help="requests of each log")
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.judge:
        print(json.dumps(judge(arguments.judge)))
        return
    if arguments.into:
        put_into(arguments.into, markdown(read_json(REPORTS / "monitor_scale.json")))
        return
    figures: dict[str, Any] = {"n_window": N_WINDOW, "days": DAYS, "sizes": {}}
    for n in arguments.rows:
        with TemporaryDirectory(prefix="ratchet-") as folder:
            write_log(Path(folder), n)
            figures["sizes"][str(n)] = in_a_process(Path(folder))
    write_report("monitor_scale", figures, 1)
    print(markdown(figures))


def write_log(folder: Path, n: int) -> None:
    """A log of `n` requests over `DAYS` days, and `N_WINDOW` in the last hour, as compaction leaves it."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet as pq

    from ratchet.prediction_log.tables import arrow_schema, hour_file

    schema, rng, hours = arrow_schema("predictions"), np.random.default_rng(13), 24 * DAYS
    words = np.array([f"word{i}" for i in range(2000)])
    for hour in range(hours):
        size = N_WINDOW if hour == hours - 1 else (n - N_WINDOW) // (hours - 1)
        start = NOW - timedelta(hours=hours - hour)
        positive = rng.random(size).astype(np.float32)
        times = np.sort(rng.integers(0, 3_599_000_000, size)) + int(start.timestamp() * 1e6)
        columns: dict[str, Any] = {
            "timestamp": pyarrow.array(times, pyarrow.int64()).cast(schema.field("timestamp").type),
            "request_id": [f"{hour:05d}{row:027x}" for row in range(size)],
            "text": [" ".join(line) for line in words[rng.integers(0, len(words), (size, 18))]],
            "predicted": np.where(positive > 0.5, "positive", "negative"),
            "confidence": np.maximum(positive, 1 - positive).astype(np.float64),
            "model_version": ["words@0123456789ab"] * size,
            "proba": list(np.stack([1 - positive, positive], axis=1)),
            "latency_ms": rng.gamma(4.0, 2.0, size),
            "status": np.full(size, 200, dtype=np.int32),
            "key_id": ["k"] * size,
            "arm": ["champion"] * size,
            "experiment": [""] * size,
        }
        path = hour_file(folder, "predictions", start)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = [columns[field.name] if field.name == "timestamp" else pyarrow.array(columns[field.name], field.type)
                  for field in schema]  # fmt: skip
        pq.write_table(pyarrow.table(arrays, schema), path, compression="zstd")


def judge(folder: Path) -> dict[str, float]:
    """Read the last window and what else a run reads of the log, and judge it; seconds of the processor and memory."""
    from benchmarks.monitor_material import params, reference
    from flows.monitoring import steps
    from ratchet.monitoring.inspection import inspect_window

    began, made = time.process_time(), reference()
    before = time.process_time() - began
    history = [{"end": (NOW - timedelta(hours=1)).isoformat()}]
    with TemporaryDirectory(prefix="ratchet-") as name:
        root = Path(name)
        log = {"url": f"sqlite:///{root}/log.db", "folder": str(folder), "batch_size": 500, "interval_ms": 200}
        log |= {"queue_size": 50_000, "retention_days": 90, "personal_data": "off", "regions": ["US"]}
        (root / "live.yaml").write_text(json.dumps({"log": log}))
        windows = list(steps.ended_windows(root, history, params(), NOW))
    if len(windows) != 1:
        raise PipelineError("One window was expected.", got=len(windows))
    inspect_window(windows[0], made, None, [], params())
    return {
        "n_rows": len(windows[0].rows),
        "cpu_s": time.process_time() - began - before,
        "peak_mb": peak_memory_mb(),
    }


def in_a_process(folder: Path) -> dict[str, float]:
    """`judge` in a process of its own, whose peak of memory is its own.

    Raises:
        PipelineError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.monitor_scale", "--judge", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError("The run of the monitor failed.", got=done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def markdown(figures: dict[str, Any]) -> str:
    """A row a size of the log."""
    lines = ["| rows kept | processor, s | peak memory, MB |", "|---:|---:|---:|"]
    for n, item in figures["sizes"].items():
        lines.append(f"| {int(n):,} | {item['cpu_s']:.1f} | {item['peak_mb']:.0f} |")
    return "\n".join(lines)


def put_into(page: Path, table: str) -> None:
    """Put the table between its marks.

    Raises:
        ParamsError: the page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    if START not in text or END not in text:
        raise ParamsError("The page has no marks for the table.", where=page, expected=f"{START.strip()} and {END}")
    before, rest = text.split(START)
    page.write_text(f"{before}{START}{table}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
