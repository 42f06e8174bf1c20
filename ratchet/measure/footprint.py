"""What a bundle takes when it is served alone: peak memory and cold start, measured in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.errors import BundleError


@dataclass(frozen=True)
class Footprint:
    """Peak resident memory in megabytes (10^6 bytes), and seconds from an empty process to the first answer."""

    peak_memory_mb: float
    cold_start_s: float


def footprint(path: Path, texts: Sequence[str], n_threads: int) -> Footprint:
    """Start a process that loads the bundle and scores the texts one by one, and read what it took.

    Raises:
        BundleError: the process failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ratchet.measure.footprint", str(path), str(n_threads)],
        input=json.dumps(list(texts)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BundleError("The bundle could not be served.", where=path, got=done.stderr.strip()[-500:])
    return Footprint(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    began = time.perf_counter()
    texts = json.load(sys.stdin)
    from ratchet.models.predictor import load

    predictor = load(Path(sys.argv[1]), int(sys.argv[2]))
    predictor.predict_proba(texts[:1])
    cold_start_s = time.perf_counter() - began
    for text in texts:
        predictor.predict_proba([text])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(json.dumps({"peak_memory_mb": peak, "cold_start_s": cold_start_s}))


if __name__ == "__main__":
    main()
