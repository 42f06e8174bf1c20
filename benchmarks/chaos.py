"""Kills and other faults at random moments, and what must hold after each.

    python -m benchmarks.chaos [--minutes N] [--targets log audit ...] [--into PAGE]

Each target is a command that works on a folder of its own (`benchmarks.chaos_targets`). A run of it is killed, with all
its processes, at a moment drawn at random from its usual length, or meets a full disk; then its invariants are checked,
the same command is run to its end, and they are checked again. Every run adds to `reports/bench/chaos.json`, so a long
campaign can be stopped and taken up again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from benchmarks.chaos_targets import TARGETS, Target
from benchmarks.material import REPORTS
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.reporting.marked_block import write_block

Fault = Literal["kill", "disk full"]
REPORT = REPORTS / "chaos.json"
DISK_FULL_BYTES = 8_192
"""Size beyond which no file of a victim grows, where the disk is full."""
MOST_S = 300.0
"""Seconds after which a run that nothing disturbs counts as hung."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0, help="how long to go on (3)")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="by default all")
    parser.add_argument("--into", type=Path, help="put the table of the report into this page instead")
    arguments = parser.parse_args()
    if arguments.into:
        write_block(arguments.into, "chaos", markdown(read_report()))
        return
    report = campaign([TARGETS[name] for name in arguments.targets], arguments.minutes)
    print(markdown(report))
    if any(row["lost"] for row in report["targets"].values()):
        raise SystemExit(1)


def campaign(targets: list[Target], minutes: float) -> dict[str, Any]:
    """Faults in turn until the time is over, at least one a target; the report, which is written after each."""
    report, end = read_report(), time.monotonic() + 60 * minutes
    lengths: dict[str, float] = {}
    first = True
    while first or time.monotonic() < end:
        for target in targets:
            if not first and time.monotonic() >= end:
                break
            row = report["targets"].setdefault(
                target.name, {"what": target.what, "faults": {}, "lost": 0, "losses": []}
            )
            number = sum(row["faults"].values())
            rng = np.random.default_rng([13, number, len(target.name), *target.name.encode()])
            fault: Fault = "disk full" if target.disk_full and number % 5 == 4 else "kill"
            with TemporaryDirectory(prefix="ratchet-chaos-") as name:
                folder = Path(name) / "world"
                target.make(folder)
                if target.name not in lengths:
                    lengths[target.name] = usual_length(target, folder, Path(name) / "whole")
                losses = disturbed(target, folder, fault, float(rng.uniform(0, lengths[target.name])))
            row["faults"][fault] = row["faults"].get(fault, 0) + 1
            row["lost"] += bool(losses)
            row["losses"] = [*row["losses"], *losses][-20:]
            write_json(REPORT, report)
        first = False
    return report


def disturbed(target: Target, folder: Path, fault: Fault, after_s: float) -> list[str]:
    """What is lost or doubled by a fault after so many seconds: right then, and once the same command has completed."""
    process = start(target, folder, _full_disk if fault == "disk full" else None)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(MOST_S if fault == "disk full" else after_s)
    _kill(process)
    losses = [f"after the {fault}: {found}" for found in target.broken(folder, done=False)]
    again = start(target, folder)
    try:
        code = again.wait(MOST_S)
    except subprocess.TimeoutExpired:
        code = None
    _kill(again)
    if code != 0:
        return [*losses, f"the same command does not complete: {code}"]
    return [*losses, *(f"after completion: {found}" for found in target.broken(folder, done=True))]


def usual_length(target: Target, folder: Path, copy: Path) -> float:
    """Seconds of a run that nothing disturbs, on a copy of the folder.

    Raises:
        PipelineError: it fails by itself.
    """
    shutil.copytree(folder, copy, symlinks=True)
    began = time.monotonic()
    process = start(target, copy)
    code = process.wait(MOST_S)
    if code or (found := target.broken(copy, done=True)):
        raise PipelineError("A target fails without any fault.", where=target.name, got=code or "; ".join(found))
    return time.monotonic() - began


def start(target: Target, folder: Path, limit: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """The target's command in a process group of its own, so that a kill reaches all its processes."""
    return subprocess.Popen(
        [sys.executable, *target.command],
        cwd=folder,
        env=target.environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=limit,
    )


def _full_disk() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails, as it does on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_FULL_BYTES, DISK_FULL_BYTES))


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_report() -> dict[str, Any]:
    """The report of all runs so far."""
    command = "python -m benchmarks.chaos"
    found: dict[str, Any] = read_json(REPORT) if REPORT.is_file() else {"command": command, "targets": {}}
    return found


def markdown(report: dict[str, Any]) -> str:
    """A row a target, and the sum."""
    lines = ["| target | what must hold | kills | disk full | lost or doubled |", "|---|---|---:|---:|---:|"]
    totals = [0, 0, 0]
    for name, row in sorted(report["targets"].items()):
        counts = [row["faults"].get("kill", 0), row["faults"].get("disk full", 0), row["lost"]]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        lines.append(f"| {name} | {row['what']} | {' | '.join(map(str, counts))} |")
    return "\n".join([*lines, f"| all | | {' | '.join(map(str, totals))} |"])


if __name__ == "__main__":
    main()
