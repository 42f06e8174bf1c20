"""Whether hostile clients harm others: sixteen good clients beside them, and beside as many well-formed requests.

    python -m benchmarks.fuzz_serving                          a million hostile requests, hours; resumes
    python -m benchmarks.fuzz_serving --quick                  two short rounds, into .scratch
    python -m benchmarks.fuzz_serving --into docs/serving.md   the report's table into a page

A round asks the good clients' requests beside two hostile clients, then beside two well-formed ones, for as long;
after each, schemathesis holds the server against its OpenAPI. No good request may fail but by a 429 or 503 with
`Retry-After`; their p99 beside hostile clients may be twice that beside the others at most; memory stays flat. Ends
with 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.http_load import Load, run_load
from benchmarks.serving import ratchet_server
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.reporting.marked_block import write_block

REPORT, QUICK_REPORT = Path("reports/bench/fuzz_serving.json"), Path(".scratch/fuzz_serving.json")
N_REQUESTS, N_GOOD, N_OTHERS = 1_000_000, 16, 2
MAX_P99_RATIO, MAX_MEMORY_GROWTH = 2.0, 1.05
CONFIG = Path(__file__).with_name("schemathesis.toml")
TEXTS = ["a dull film", "superb and moving", "a film that nobody needs, and yet it moves on and on " * 3]
MARK = "fuzz-serving"


def conformance_command(url: str, authorization: str, n_examples: int, seed: int) -> list[str]:
    """The command that holds a server against its OpenAPI: every route, right and wrong requests, with and without key.

    Two checks are left out. A positive request need not be accepted: an id of feedback has to be one that was given,
    and a tensor's shape has to fit its texts, which no schema can say. And a null header is no missing one.
    """
    left_out = "positive_data_acceptance,use_after_free,ensure_resource_availability"
    return [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG.resolve())),
        *("run", f"{url}/openapi.json", "--no-color"),
        *("--header", f"Authorization: {authorization}", "--exclude-checks", left_out),
        *("--phases", "coverage,fuzzing", "--max-examples", str(n_examples), "--seed", str(seed)),
        *("--generation-database", "none", "--continue-on-failure", "--no-shrink"),
        *("--suppress-health-check", "all", "--request-timeout", "30", "--warnings", "off"),
    ]


def fuzz(n_requests: int, seconds: float, bundle: Path, report: Path) -> dict[str, Any]:
    """Rounds until so many hostile requests were sent, from where the report stands, which is written after each."""
    done: dict[str, Any] = read_json(report) if report.is_file() else EMPTY
    while done["n_hostile"] < n_requests:
        with tempfile.TemporaryDirectory() as folder:
            server = ratchet_server(Path(folder), bundle, scopes=["predict", "explain", "feedback"])
            with server as (process, port, secret, _):
                while done["n_hostile"] < n_requests:
                    done = add_round(done, run_round(process, port, secret, len(done["rounds"]), seconds))
                    write_json(report, done)
                    print(f"{done['n_hostile']} hostile requests, p99 ratio {done['p99_ratio']:.2f}", flush=True)
    return done


EMPTY: dict[str, Any] = {"n_hostile": 0, "rounds": [], "sent": {}, "answers": {}, "good": {}}


def run_round(process: Any, port: int, secret: str, seed: int, seconds: float) -> dict[str, Any]:
    """One round: counts, latencies and memory."""
    found: dict[str, Any] = {"memory_mb": process.memory_info().rss / 1e6}
    p99_ms: dict[str, float] = {}
    for kind in ("hostile", "well-formed"):
        others = [_client(port, secret, 2 * seed + n, seconds, kind) for n in range(N_OTHERS)]
        load = _good(port, secret, seconds)
        counted = [json.loads(client.communicate()[0]) for client in others]
        found[kind] = {
            "requests": _sum([item["requests"] for item in counted]),
            "statuses": _sum([item["statuses"] for item in counted]),
            "good": {} if load is None else {str(status): n for status, n in load.statuses.items()},
            "good_cut": load is None,
        }
        p99_ms[kind] = float("nan") if load is None else load.percentile_ms(99)
    found["ratio"] = p99_ms["hostile"] / p99_ms["well-formed"]
    command = conformance_command(f"http://127.0.0.1:{port}", f"Bearer {secret}", 5, seed)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    found["conformance"] = "" if done.returncode == 0 else done.stdout[-2000:]
    return found


def add_round(done: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The report with a round more."""
    rounds = [*done["rounds"], found]
    memory = [item["memory_mb"] for item in rounds[len(rounds) // 4 :]]
    return {
        "n_hostile": done["n_hostile"] + sum(found["hostile"]["requests"].values()),
        "rounds": rounds,
        "sent": _sum([done["sent"], found["hostile"]["requests"]]),
        "answers": _sum([done["answers"], found["hostile"]["statuses"]]),
        "good": _sum([done["good"], found["hostile"]["good"]]),
        "p99_ratio": float(np.median([item["ratio"] for item in rounds])),
        "memory_growth": memory[-1] / memory[0],
        "n_not_conforming": sum(bool(item["conformance"]) for item in rounds),
    }


def broken_bars(done: dict[str, Any]) -> list[str]:
    """What does not hold."""
    failed = {status: n for status, n in done["good"].items() if status not in ("200", "429", "503")}
    found = [f"{n} good requests got {status}" for status, n in failed.items()]
    if n_cut := sum(item["hostile"]["good_cut"] for item in done["rounds"]):
        found.append(f"connections of good clients were cut in {n_cut} rounds")
    if not done["p99_ratio"] <= MAX_P99_RATIO:
        found.append(f"p99 is {done['p99_ratio']:.2f} times that beside well-formed requests, not {MAX_P99_RATIO}")
    if not done["memory_growth"] <= MAX_MEMORY_GROWTH:
        found.append(f"memory grew to {done['memory_growth']:.2f}")
    if done["n_not_conforming"]:
        found.append(f"{done['n_not_conforming']} rounds differ from the OpenAPI")
    return found


def table(done: dict[str, Any]) -> str:
    """The report as Markdown."""
    sent = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in sorted(done["sent"].items()))
    good = ", ".join(f"{n:,} with {status}" for status, n in sorted(done["good"].items()))
    text = (
        f"{done['n_hostile']:,} hostile requests, rounds: {len(done['rounds'])}; {sent}. "
        f"Good requests beside them: {good}; "
        f"their p99 was {done['p99_ratio']:.2f} times that beside well-formed requests (median of the rounds; bar "
        f"{MAX_P99_RATIO:g}), memory {done['memory_growth']:.2f} times that after the first quarter (bar "
        f"{MAX_MEMORY_GROWTH}); rounds in which schemathesis found a difference: {done['n_not_conforming']}. "
        "`make fuzz-serving`."
    )
    return textwrap.fill(text, 120, break_on_hyphens=False)


def _client(port: int, secret: str, seed: int, seconds: float, kind: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.hostile_client", str(port), secret, str(seed), str(seconds), kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _good(port: int, secret: str, seconds: float) -> Load | None:
    """The good clients' load; None where one of their connections was cut."""
    try:
        return run_load(port, "/v1/predict", TEXTS, N_GOOD, seconds, secret)
    except OSError:
        return None


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for item in counts:
        total.update(item)
    return dict(sorted(total.items()))


def main() -> None:
    """Fuzz, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/pruned-onnx-int8"))
    parser.add_argument("--requests", type=int, default=N_REQUESTS)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each half of a round")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    if arguments.into:
        write_block(arguments.into, MARK, table(read_json(REPORT)))
        return
    if arguments.quick:
        QUICK_REPORT.unlink(missing_ok=True)
        done = fuzz(2, 3.0, arguments.bundle, QUICK_REPORT)
    else:
        done = fuzz(arguments.requests, arguments.seconds, arguments.bundle, REPORT)
    if broken := broken_bars(done):
        raise PipelineError("Hostile clients harm others.", got="; ".join(broken))


if __name__ == "__main__":
    entry(main)
