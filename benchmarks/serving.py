"""Serving overhead beside the model, against LitServe with the same bundle, and growth of memory.

    python -m benchmarks.serving [--bundle models/NAME] [--seconds 600] [--litserve .venv-litserve/bin/python]

Both servers run all along; the one that is not asked is stopped (SIGSTOP), and they take turns, so that what else the
machine does meets both. Writes reports/bench/serving.json.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from ruamel.yaml import YAML

from benchmarks.http_load import Load, infer_body, run_load, text_body
from ratchet.entry import entry
from ratchet.files import write_json
from ratchet.measure.machine import describe_machine
from ratchet.serving.auth import Scope, add_key

OUT = Path("reports/bench/serving.json")
INFER = "/v2/models/champion/infer"
"""The route of the Open Inference Protocol."""
CONCURRENCY = 16
N_CORES = len(os.sched_getaffinity(0))
MAX_OVERHEAD_CPU_MS, MIN_RATIO = 1.0, 2.0
"""The bars: CPU beside the model for each request; requests a second over those of LitServe."""


def main() -> None:
    """Measure all, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/pruned-onnx-int8"))
    parser.add_argument("--seconds", type=float, default=600.0, help="of the soak")
    parser.add_argument("--turn", type=float, default=8.0, help="seconds of each turn against LitServe")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--litserve", type=Path, default=Path(".venv-litserve/bin/python"))
    arguments = parser.parse_args()
    texts = pd.read_parquet("data/unlabeled.parquet", columns=["text"])["text"].head(2000).tolist()
    with tempfile.TemporaryDirectory(prefix="ratchet-serving-") as folder:
        report = measure(Path(folder), texts, arguments)
    write_json(OUT, report)
    for name, figure in report["bars"].items():
        print(f"{name}: {figure['value']:.3g} (bar {figure['bar']}) {'holds' if figure['holds'] else 'IS MISSED'}")


def measure(folder: Path, texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with ExitStack() as stack:
        process, port, secret, cold_s = stack.enter_context(ratchet_server(folder, arguments.bundle))
        overhead = {str(n): overhead_cpu_ms(port, secret, texts, n) for n in (1, CONCURRENCY)}
        overhead_v2 = {str(n): overhead_cpu_ms(port, secret, texts, n, INFER, infer_body) for n in (1, CONCURRENCY)}
        report: dict[str, Any] = {
            "machine": describe_machine(1),
            "bundle": arguments.bundle.name,
            "cold_start_s": cold_s,
            "overhead": overhead,
            "overhead_v2": overhead_v2,
            "rss_mb": process.memory_info().rss / 1e6,
        }
        bars = {}
        for name, found in (("overhead_cpu_ms", overhead), ("overhead_v2_cpu_ms", overhead_v2)):
            worst = max(figures["cpu_ms"] for figures in found.values())
            bars[name] = _bar(worst, MAX_OVERHEAD_CPU_MS, at_most=True)
        if arguments.litserve.exists():
            turns = compare(process, port, secret, texts, arguments)
            report["against_litserve"] = turns
            bars["requests_ratio"] = _bar(turns["requests_ratio"], MIN_RATIO, at_most=False)
            bars["p95_ratio"] = _bar(turns["p95_ratio"], 1.0, at_most=True)
        else:
            print(f"no LitServe at {arguments.litserve}: make litserve-env")
        report["soak"] = soak(process, port, secret, texts, arguments.seconds)
        bars["soak_errors"] = _bar(report["soak"]["n_errors"], 0, at_most=True)
        bars["soak_memory_growth"] = _bar(report["soak"]["memory_growth"], 1.02, at_most=True)
    return {**report, "bars": bars, "command": "python -m benchmarks.serving"}


def overhead_cpu_ms(
    port: int,
    secret: str,
    texts: list[str],
    concurrency: int,
    path: str = "/v1/predict",
    body: Callable[[str], object] = text_body,
) -> dict[str, float]:
    """CPU of the server's process less that of scoring, for each request; logging and access control included."""
    run_load(port, path, texts, concurrency, 2.0, secret, body)
    before = _metrics(port)
    load = run_load(port, path, texts, concurrency, 8.0, secret, body)
    time.sleep(0.5)  # the log's last batch is part of the cost
    after = _metrics(port)
    n = sum(load.statuses.values())
    total = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    model = after["ratchet_model_cpu_seconds_total"] - before["ratchet_model_cpu_seconds_total"]
    return {"cpu_ms": 1000 * (total - model) / n, "model_cpu_ms": 1000 * model / n, **_figures(load)}


def compare(process: Any, port: int, secret: str, texts: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Turns of both at the same concurrency; the ratio of each round, and their median. LitServe at its best batch."""
    best: dict[str, Any] = {}
    for max_batch in (1, 16):
        with litserve_server(arguments.litserve, arguments.bundle, max_batch) as (peer, peer_port):
            run_load(peer_port, "/predict", texts, CONCURRENCY, 3.0)
            rounds = []
            for _ in range(arguments.rounds):
                with _stopped(peer):
                    own = _turn(process, port, "/v1/predict", texts, arguments.turn, secret)
                with _stopped(process):
                    other = _turn(peer, peer_port, "/predict", texts, arguments.turn, "")
                rounds.append({"ratchet": own, "litserve": other})
        ratios = [item["ratchet"]["requests_per_s"] / item["litserve"]["requests_per_s"] for item in rounds]
        p95 = [item["ratchet"]["p95_ms"] / item["litserve"]["p95_ms"] for item in rounds]
        cpu = [item["litserve"]["cpu_ms"] / item["ratchet"]["cpu_ms"] for item in rounds]
        found = {
            "litserve_max_batch": max_batch,
            "cpu_ratio": float(np.median(cpu)),
            "rounds": rounds,
            "requests_ratio": float(np.median(ratios)),
            "requests_ratio_range": [min(ratios), max(ratios)],
            "p95_ratio": float(np.median(p95)),
        }
        if not best or found["requests_ratio"] < best["requests_ratio"]:
            best = found
    return best


def _turn(root: Any, port: int, path: str, texts: list[str], seconds: float, secret: str) -> dict[str, float]:
    """A turn of one server, and where the time of all cores went, in milliseconds for each request that was asked.

    `core_ms` is all of it: `cpu_ms` of the server's processes, the model's included, `client_cpu_ms`, and `idle_ms`,
    in which a core had nothing to do, or did something else.
    """
    family = [root, *root.children(recursive=True)]
    before = sum(sum(member.cpu_times()[:2]) for member in family)
    load = run_load(port, path, texts, CONCURRENCY, seconds, secret)
    used = sum(sum(member.cpu_times()[:2]) for member in family) - before
    n = max(1, sum(load.statuses.values()))
    core_ms, cpu_ms, client_ms = 1000 * N_CORES * load.seconds / n, 1000 * used / n, 1000 * load.cpu_s / n
    return {"core_ms": core_ms, "cpu_ms": cpu_ms, "idle_ms": core_ms - cpu_ms - client_ms, **_figures(load)}


def soak(process: Any, port: int, secret: str, texts: list[str], seconds: float) -> dict[str, Any]:
    """Saturated for so long: errors other than refusals, and memory in the last quarter over that in the second."""
    memory, loads, start = [], [], time.monotonic()
    while time.monotonic() - start < seconds:
        loads.append(run_load(port, "/v1/predict", texts, CONCURRENCY, min(5.0, seconds / 8), secret))
        memory.append(process.memory_info().rss / 1e6)
    quarter = max(1, len(memory) // 4)
    statuses: dict[int, int] = {}
    for load in loads:
        for status, n in load.statuses.items():
            statuses[status] = statuses.get(status, 0) + n
    return {
        "seconds": seconds,
        "statuses": {str(status): n for status, n in sorted(statuses.items())},
        "n_errors": sum(n for status, n in statuses.items() if status not in (200, 429)),
        "requests_per_s": float(np.median([load.requests_per_s for load in loads])),
        "p95_ms": float(np.median([load.percentile_ms(95) for load in loads])),
        "memory_mb": memory,
        "memory_growth": float(np.median(memory[-quarter:]) / np.median(memory[quarter : 2 * quarter] or memory)),
    }


@contextmanager
def ratchet_server(
    folder: Path, bundle: Path, scopes: Sequence[Scope] = ("predict",)
) -> Iterator[tuple[Any, int, str, float]]:
    """A server with the settings of live.yaml: process, port, key, and seconds from its start to its first answer."""
    yaml = YAML(typ="safe", pure=True)
    settings = yaml.load(Path("live.yaml").read_text())
    settings["log"] |= {"url": f"sqlite:///{folder}/log.db", "folder": str(folder / "log")}
    settings["serve"] |= {"key_file": str(folder / "keys.json"), "access_log": str(folder / "access.jsonl"), "port": 0}
    with (folder / "live.yaml").open("w") as file:
        yaml.dump(settings, file)
    _, secret = add_key(folder / "keys.json", "bench", scopes, 1, 100_000_000, datetime.now(UTC))
    start = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "ratchet",
        "serve",
        "--bundle",
        str(bundle),
        "--settings",
        str(folder / "live.yaml"),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        line = child.stderr.readline()
        match = re.search(r":(\d+),", line)
        if match is None:
            raise SystemExit(line + child.stderr.read())
        port = int(match[1])
        run_load(port, "/v1/predict", ["a film"], 1, 0.0, secret)
        cold_s = time.monotonic() - start
        try:
            yield psutil.Process(child.pid), port, secret, cold_s
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate()


@contextmanager
def litserve_server(python: Path, bundle: Path, max_batch: int) -> Iterator[tuple[Any, int]]:
    """LitServe with as many workers as Ratchet: its process, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "benchmarks.litserve_peer", str(bundle), str(port), "2", str(max_batch)]
    # texts are tokenised by the thread that scores them, as in Ratchet's server: the peer is faster so
    environment = {**os.environ, "PYTHONPATH": ".", "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
        root = psutil.Process(child.pid)
        try:
            for _ in range(600):
                time.sleep(0.2)
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield root, port
        finally:
            family = [*root.children(recursive=True), root]
            for member in family:
                member.terminate()
            psutil.wait_procs(family, timeout=10)


@contextmanager
def _stopped(root: Any) -> Iterator[None]:
    family = [root, *root.children(recursive=True)]
    for member in family:
        member.suspend()
    try:
        yield
    finally:
        for member in family:
            member.resume()


def _metrics(port: int) -> dict[str, float]:
    import httpx

    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def _figures(load: Load) -> dict[str, float]:
    n = max(1, sum(load.statuses.values()))
    return {
        "requests_per_s": load.requests_per_s,
        "client_cpu_ms": 1000 * load.cpu_s / n,
        "p50_ms": load.percentile_ms(50),
        "p95_ms": load.percentile_ms(95),
        "n_refused": load.statuses.get(429, 0),
    }


def _bar(value: float, bar: float, *, at_most: bool) -> dict[str, Any]:
    return {"value": value, "bar": bar, "holds": bool(value <= bar if at_most else value >= bar)}


if __name__ == "__main__":
    entry(main)
