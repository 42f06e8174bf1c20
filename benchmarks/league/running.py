"""Running a cell: the contestant in a process group of its own, its figures written when all of them are there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.league.cells import Cell, Key, packed, read_cell
from benchmarks.league.contestants import CONTESTANTS, OURS, Entry
from benchmarks.league.draws import Drawn
from benchmarks.league.environments import ROOT, Environment, variables
from benchmarks.league.sets import Labelled
from benchmarks.material import SCRATCH
from ratchet.files import read_json, write_json
from ratchet.measure.machine import describe_machine
from ratchet.measure.primary import primary_metric
from ratchet.models.backbones import resolve_backbone
from ratchet.params import read_yaml

N_THREADS = 2
"""Cores that every contestant is kept to."""
CELL_S = 3600
"""Seconds after which a contestant is stopped: its cell then says so."""
SHOWN_ERROR = 300
"""Characters of a contestant's error that its cell keeps."""


def run_cell(root: Path, key: Key, data: Labelled, drawn: Drawn, made: Environment, limit_s: float = CELL_S) -> Cell:
    """Run the contestant and write its cell, also where it fails: with the reason, which `--again` alone tries anew.

    A run that is interrupted writes nothing.
    """
    entry = CONTESTANTS[key.contestant]
    budget_s = 0.0
    if entry.at_our_cpu_time:
        ours = read_cell(root, Key(key.data, key.n_labels, key.draw, OURS))
        if ours is None or ours.failed:
            return Cell(key, {"failed": "Ratchet's own cell, whose CPU time it may take, is not there"})
        budget_s = float(ours.report["cpu_s"])
    folder = _job_folder()
    try:
        write_json(folder / "job.json", _job(entry, data, drawn, key.draw, budget_s))
        reason = _work(made.python, folder, limit_s)
        report: dict[str, Any] = {"failed": reason} if reason else _figures(folder, data, drawn)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report |= {
        **stamp(entry, drawn, made),
        "cpu_budget_s": budget_s,
        "command": "python -m benchmarks.league",
        "commit": commit(),
        "machine": describe_machine(N_THREADS),
    }
    write_json(key.path(root), report)
    return Cell(key, report)


def stamp(entry: Entry, drawn: Drawn, made: Environment) -> dict[str, Any]:
    """What a cell depends on: the texts, the contestant's recipe and its environment."""
    return {
        "labels_sha256": drawn.sha256,
        "test_sha256": drawn.test_sha256,
        "recipe": entry.recipe,
        "requirements_sha256": made.pinned,
    }


def is_current(cell: Cell, entry: Entry, drawn: Drawn, made: Environment) -> bool:
    """Whether a cell is of these texts and this contestant, so that it need not run again."""
    now = stamp(entry, drawn, made)
    if not entry.requirements:  # the project's own environment changes with every package, most of which are not used
        now.pop("requirements_sha256")
    return now.items() <= cell.report.items()


def commit() -> str:
    """The commit whose code ran, with a plus where files that it tracks were changed."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, check=False, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py", "constraints.txt", "params.yaml")
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def _job_folder() -> Path:
    """An empty folder of this process's own; those of processes that were killed are removed."""
    import psutil

    jobs = (SCRATCH / "league" / "jobs").resolve()
    for path in jobs.glob("*"):
        if not psutil.pid_exists(int(path.name)) or int(path.name) == os.getpid():
            shutil.rmtree(path, ignore_errors=True)
    folder = jobs / f"{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def _job(entry: Entry, data: Labelled, drawn: Drawn, seed: int, budget_s: float) -> dict[str, Any]:
    params = read_yaml(ROOT / "examples" / "films" / "params.yaml")
    first = params["task"]["backbones"][0]
    return {
        "module": entry.module,
        "packages": list(entry.packages),
        "texts": drawn.texts,
        "targets": drawn.targets,
        "test_texts": drawn.test_texts,
        "n_classes": len(data.classes),
        "metric": data.metric,
        "seed": seed,
        "n_threads": N_THREADS,
        "max_tokens": params["train"]["max_tokens"],
        "backbone": str(resolve_backbone(first["source"], first["sha256"]).resolve()),
        "cpu_budget_s": budget_s,
    }


def _work(python: Path, folder: Path, limit_s: float) -> str:
    """Run the worker; why it failed, else empty. Its processes end with this one's wait, however that ends."""
    command = [str(python), "-m", "benchmarks.league.worker", str(folder)]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables(N_THREADS, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it took longer than {limit_s:,.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return ""
    lines = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else "it said nothing"
    return f"exit code {code}: {said[:SHOWN_ERROR].replace(str(folder), '.').replace(str(ROOT), '.')}"


def _figures(folder: Path, data: Labelled, drawn: Drawn) -> dict[str, Any]:
    proba = np.load(folder / "proba.npy", allow_pickle=False)
    result = read_json(folder / "result.json")
    metric = primary_metric(data.metric, data.classes)
    return {
        **{name: round(result[name], 3) for name in ("cpu_s", "wall_s", "p50_ms", "p95_ms", "size_mb")},
        "n_timed": result["n_timed"],
        "metric": data.metric,
        "value": metric.value(drawn.test_targets, proba),
        "predicted": packed(proba.argmax(axis=1)),
        "versions": result["versions"],
        "notes": result["notes"],
    }
