"""What memory a bundle takes when it is served alone, measured in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ratchet.errors import BundleError


def peak_memory_mb(path: Path, texts: Sequence[str], n_threads: int) -> float:
    """Peak resident memory, in megabytes (10^6 bytes), of a process that loads the bundle and scores the texts singly.

    Raises:
        BundleError: the process failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "ratchet.measure.footprint", str(path), str(n_threads)],
        input=json.dumps(list(texts)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BundleError("The bundle could not be served.", where=path, got=done.stderr.strip()[-500:])
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    from ratchet.models.predictor import load

    predictor = load(Path(sys.argv[1]), int(sys.argv[2]))
    for text in json.load(sys.stdin):
        predictor.predict_proba([text])
    print(_own_peak_mb())


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
