"""Fuzzing of every loader: `python -m tests.fuzz [--executions N] [--into docs/fuzzing.md]`, or `make fuzz`.

What was done stays in .scratch/fuzz: executions are counted on until there are N, so that a run that was ended carries
on. `--seconds S` runs every target for its share of S seconds instead, from the corpus in the
repository, and ends with 1 when something is found: that is what CI does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ratchet.files import read_json, write_json
from ratchet.reporting.marked_block import write_block
from tests.fuzz.targets import MAX_BYTES, MAX_CPU_S, MAX_MB, TARGETS, made_seeds

FOLDER, CORPUS = Path(".scratch/fuzz"), Path("tests/fuzz/corpus")
SLICE_S = 60
"""Seconds of one process: every loader gets the same time, and little is lost when it ends. One that is quick stops at
an eighth of all executions."""
MAX_KEPT = 12
"""Inputs of a target that the repository keeps."""


@dataclass
class Done:
    """What was executed of one target."""

    n: int = 0
    n_refused: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_mb: float = 0.0


def slug(name: str) -> str:
    """A target's name as that of a folder.

    >>> slug("source: CSV")
    'source-csv'
    """
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.casefold()).split())


def fuzz(name: str, n: int, seconds: int = 0, base: Path = FOLDER) -> Done:
    """Execute a target `n` times more, or for some seconds; what was done in all."""
    folder = base / slug(name)
    for part in ("corpus", "seeds"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for at, data in enumerate([*TARGETS[name].seeds, *made_seeds(name)]):
        (folder / "seeds" / str(at)).write_bytes(data)
    for path in sorted((CORPUS / slug(name)).glob("*")):
        shutil.copy(path, folder / "seeds")
    record = folder / "done.json"
    done = Done(**read_json(record)) if record.is_file() else Done()
    state = folder / "state.json"
    state.unlink(missing_ok=True)
    seed = int.from_bytes(hashlib.sha256(f"{name}{done.n}".encode()).digest()[:4]) // 2
    command = [sys.executable, "-m", "tests.fuzz.child", name, str(folder), str(n), str(seconds), str(seed)]
    with (folder / "log.txt").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            process.wait(seconds + 120 if seconds else None)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as stop:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            if isinstance(stop, KeyboardInterrupt):
                raise
    made = json.loads(state.read_text()) if state.is_file() else asdict(Done())
    for crash in folder.glob("crash-*"):
        kept = folder / "findings" / crash.name
        kept.parent.mkdir(exist_ok=True)
        crash.replace(kept)
        kept.with_suffix(".txt").write_text(f"{name}: ended the process\n")
    done = Done(
        done.n + made["n"],
        done.n_refused + made["n_refused"],
        done.seconds + made["seconds"],
        max(done.slowest_s, made["slowest_s"]),
        max(done.peak_mb, made["peak_mb"]),
    )
    write_json(record, asdict(done))
    return done


def findings(base: Path = FOLDER) -> list[Path]:
    """Accounts of what was found, of all targets."""
    return sorted(base.glob("*/findings/*.txt"))


def keep_corpus() -> None:
    """Copy the smallest inputs that reach most of each loader into the repository."""
    for name in TARGETS:
        inputs = [path for path in (FOLDER / slug(name) / "corpus").glob("*") if path.stat().st_size <= 600]
        chosen = sorted(inputs, key=lambda path: hashlib.sha256(path.read_bytes()).hexdigest())[:MAX_KEPT]
        target = CORPUS / slug(name)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in chosen:
            shutil.copy(path, target / hashlib.sha256(path.read_bytes()).hexdigest()[:12])


def table() -> str:
    """The report, a row a target."""
    lines = [
        "| loader | executions | refused | CPU of the slowest, s | peak memory, MB | open findings |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    total, seconds = 0, 0.0
    for name in TARGETS:
        record = FOLDER / slug(name) / "done.json"
        done = Done(**read_json(record)) if record.is_file() else Done()
        n_open = len(list((FOLDER / slug(name) / "findings").glob("*.txt")))
        share = f"{done.n_refused / done.n:.0%}" if done.n else "–"
        lines.append(f"| {name} | {done.n:,} | {share} | {done.slowest_s:.2f} | {done.peak_mb:.0f} | {n_open} |")
        total, seconds = total + done.n, seconds + done.seconds
    head = (
        f"{total:,} executions in {seconds:,.0f} seconds, up to {MAX_BYTES:,} bytes each; bounds: {MAX_CPU_S:.0f} s of"
    )
    return "\n".join(
        [f"{head} processor time, {MAX_MB:,} MB. `python -m tests.fuzz --into docs/fuzzing.md`.", "", *lines]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=800_000, help="of all targets together")
    parser.add_argument("--seconds", type=int, help="of all targets together, instead")
    parser.add_argument("--into", type=Path, help="write the report into this page")
    parser.add_argument("--target", action="append", help="only this one; repeat")
    parser.add_argument("--keep-corpus", action="store_true", help="copy a small corpus into the repository")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    if given.seconds:
        base = FOLDER.with_name("fuzz-short")
        shutil.rmtree(base, ignore_errors=True)
        for name in names:
            done = fuzz(name, 1 << 30, max(given.seconds // len(names), 1), base)
            print(f"{name}: {done.n:,} executions", flush=True)
    elif given.executions:
        base = FOLDER
        while (n_done := sum(map(_n, TARGETS))) < given.executions:
            for name in names:  # a slice each, so that all are fuzzed when it is ended early
                if (left := given.executions // 8 - (before := _n(name))) <= 0:
                    continue
                done = fuzz(name, left, SLICE_S)
                print(f"{name}: {done.n - before:,} more, {done.n:,} in all", flush=True)
            if sum(map(_n, TARGETS)) == n_done:
                print("No target can be executed: see .scratch/fuzz/*/log.txt")
                return 1
    else:
        base = FOLDER
    if given.keep_corpus:
        keep_corpus()
    if given.into:
        write_block(given.into, "fuzzing", table())
    for path in findings(base):
        print(f"{path}: {path.read_text().splitlines()[0]}")
    return 1 if findings(base) else 0


def _n(name: str) -> int:
    record = FOLDER / slug(name) / "done.json"
    return Done(**read_json(record)).n if record.is_file() else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
