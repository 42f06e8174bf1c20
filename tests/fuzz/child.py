"""One target under libFuzzer, in a process of its own: `python -m tests.fuzz.child TARGET FOLDER N SECONDS SEED`.

Coverage guides it: the code of ratchet is instrumented as it is imported. An input that ends in anything but a result
or a declared error, or that takes too much processor time, is written into FOLDER/findings with its traceback.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

from tests.fuzz import mutation, targets

Load = Callable[[bytes], object]
STATE_EVERY = 200


class Run:
    """Executions of one target, counted and judged."""

    def __init__(
        self, name: str, folder: Path, load: Callable[[bytes], object], allowed: tuple[type[BaseException], ...]
    ):
        self.name, self.folder, self.load, self.allowed = name, folder, load, allowed
        self.n, self.n_refused, self.slowest_s, self.start = 0, 0, 0.0, time.monotonic()

    def __call__(self, data: bytes) -> None:
        """One execution."""
        began = time.process_time()
        try:
            self.load(data)
        except self.allowed:
            self.n_refused += 1
        except Exception as error:
            self.found(data, error)
        took = time.process_time() - began
        self.slowest_s = max(self.slowest_s, took)
        if took > targets.MAX_CPU_S:
            self.found(data, TimeoutError(f"more than {targets.MAX_CPU_S:.0f} s of processor time"))
        self.n += 1
        if self.n % STATE_EVERY == 0:
            self.tell()

    def found(self, data: bytes, error: BaseException) -> None:
        """Keep an input and what came of it, once for each place that raised."""
        lines = traceback.extract_tb(error.__traceback__)
        own = [line for line in lines if "/ratchet/" in line.filename] or lines
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "time"
        name = hashlib.sha256(f"{type(error).__name__} {place}".encode()).hexdigest()[:12]
        path = self.folder / "findings" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            told = "".join(traceback.format_exception(error))
            path.with_suffix(".txt").write_text(f"{self.name}: {type(error).__name__} at {place}\n{told[-4000:]}")

    def tell(self) -> None:
        """Write how far it is, for the parent: a run may be ended at any time."""
        state = {
            "n": self.n,
            "n_refused": self.n_refused,
            "seconds": time.monotonic() - self.start,
            "slowest_s": self.slowest_s,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        (self.folder / "state.json").write_text(json.dumps(state))


def mutator(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the mutations change a tree, the other half bytes."""
    if random.Random(seed).random() < 0.5 and (made := mutation.mutate_tree(data, seed)) is not None:
        return made[:max_size]
    changed: bytes = atheris.Mutate(data, max_size)
    return changed


def main(name: str, folder: Path, n: int, seconds: int, seed: int) -> None:
    """Fuzz until `n` executions are done, or the seconds have passed (0: no limit); never returns."""
    target = targets.TARGETS[name]
    scratch = Path(tempfile.mkdtemp(dir=targets.SCRATCH))
    with atheris.instrument_imports(include=["ratchet"]):
        load, allowed = target.prepare(scratch)
        for seed_input in (*target.seeds, *targets.made_seeds(name)):
            with contextlib.suppress(Exception):  # it counts when it is executed
                load(seed_input)
    run = Run(name, folder, load, allowed)
    gc.freeze()
    words = folder / "dictionary"
    words.write_text("".join(f'"{word}"\n' for word in target.dictionary if '"' not in word and "\\" not in word))
    options = [
        sys.argv[0],
        f"-runs={n}",
        f"-seed={seed}",
        f"-max_len={targets.MAX_BYTES}",
        f"-rss_limit_mb={targets.MAX_MB}",
        "-timeout=120",
        *([f"-dict={words}"] if words.stat().st_size else []),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={folder}/crash-",
        "-print_final_stats=1",
        str(folder / "corpus"),
        str(folder / "seeds"),
    ]
    more = {"custom_mutator": mutator} if target.is_json else {}
    atheris.Setup(options, run, **more)
    try:
        atheris.Fuzz()
    finally:
        run.tell()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
