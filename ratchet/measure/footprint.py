"""Serving footprint of a bundle: peak memory and cold start, measured in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ratchet.errors import BundleError


class Footprint(NamedTuple):
    """Footprint of serving a bundle in a process of its own."""

    peak_memory_mb: float
    """Peak resident memory while loading and scoring singly, in megabytes (10^6 bytes)."""
    cold_start_s: float
    """Seconds from starting the process to its first prediction: interpreter, imports, loading, one text."""


def footprint(path: Path, texts: Sequence[str], n_threads: int) -> Footprint:
    """Peak memory and cold start of a fresh process that loads the bundle and scores the texts one at a time.

    Raises:
        BundleError: the process failed; the message ends with its output.
    """
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "ratchet.measure.footprint", str(path), str(n_threads)],
        input=json.dumps(list(texts)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BundleError("The bundle could not be served.", where=path, got=done.stderr.strip()[-500:])
    measured = json.loads(done.stdout.splitlines()[-1])
    return Footprint(float(measured["peak_memory_mb"]), float(measured["first_at"]) - began)


def main() -> None:
    from ratchet.engines.loading import load

    first, *others = json.load(sys.stdin)
    predictor = load(Path(sys.argv[1]), int(sys.argv[2]))
    predictor.predict_proba([first])
    first_at = time.time()
    for text in others:
        predictor.predict_proba([text])
    print(json.dumps({"peak_memory_mb": _own_peak_mb(), "first_at": first_at}))


def _own_peak_mb() -> float:
    """Peak resident memory of this process; on Linux not by `ru_maxrss`, which a child inherits from its parent."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes in which ru_maxrss counts
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()
