"""Faults of a disk, injected below every writer: deaths, a full disk, a failed last flush, a loss of power.

The work runs in a child process, which dies by `os._exit`: no `finally` runs and what Python buffers is lost, as after
SIGKILL. Points are the calls that change a file: open for writing, write, flush, fsync, rename, remove, make a folder.
Native writers (pyarrow, SQLite) are met at the calls around them, and by a limit on the size of a file, which the
kernel enforces. For a loss of power, whatever was not synced since its last change is cut to nothing.
"""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

Fault = Literal["death", "torn write", "disk full", "failed flush", "loss of power"]
FAULTS: tuple[Fault, ...] = ("death", "torn write", "disk full", "failed flush", "loss of power")
DIED, FAILED = 137, 3
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


@dataclass
class Layer:
    """Counts the points of a piece of work, and does one thing at one of them."""

    folder: str
    fault: Fault | None = None
    at: int = -1
    n: int = 0
    kinds: list[str] = field(default_factory=list)
    synced: dict[str, tuple[int, int]] = field(default_factory=dict)
    """File, by device and number → size and time of change when it was last synced."""

    def point(self, kind: str, file: Any = None, data: Any = None) -> None:
        """One call that changes a file; here the fault happens."""
        here, self.n = self.n, self.n + 1
        self.kinds.append(kind)
        if here != self.at:
            return
        if self.fault in ("death", "loss of power"):
            self.die()
        if self.fault == "torn write" and kind == "write":
            _half(file, data)
            self.die()
        if self.fault == "disk full" and kind in ("write", "open", "os.mkdir"):
            if kind == "write":
                _half(file, data)
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.fault == "failed flush" and kind in ("flush", "fsync"):
            raise OSError(errno.EIO, "Input/output error")

    def die(self) -> None:
        """End the process as SIGKILL does; what was synced is told to the parent."""
        self.tell()
        os._exit(DIED)

    def tell(self) -> None:
        """Write the account for the parent, beside the folder and past the layer."""
        file = _real_open(f"{self.folder}.account", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        _real_write(file, json.dumps({"kinds": self.kinds, "synced": self.synced}).encode())
        os.close(file)

    def install(self) -> None:
        """Put the layer below everything in this process, for good."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in EVENTS and any(self.inside(path) for path in arguments):
                self.point(event)

        def write(file: int, data: bytes) -> int:
            if self.is_open(file):
                self.point("write", file, data)
            return _real_write(file, data)

        def fsync(file: int) -> None:
            if self.is_open(file):
                self.point("fsync")
            _real_fsync(file)
            state = os.fstat(file)
            self.synced[f"{state.st_dev}:{state.st_ino}"] = (state.st_size, state.st_mtime_ns)

        sys.addaudithook(hook)
        os.write, os.fsync = write, fsync  # type: ignore[assignment]
        opened = io.open

        def open_(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            writes = any(letter in mode for letter in "wax+") and self.inside(path)
            if writes:
                self.point("open")
            file = opened(path, mode, *arguments, **options)
            return self.watched(file) if writes else file

        io.open = open_  # type: ignore[assignment]
        import builtins

        builtins.open = open_  # type: ignore[assignment]

    def watched(self, file: Any) -> Any:
        """The file, with a point at each write and at the flush of its end."""
        write, close = file.write, file.close

        def counted(data: Any) -> Any:
            self.point("write", file, data)
            return write(data)

        def closing() -> None:
            if not file.closed:
                try:
                    self.point("flush")
                finally:
                    if self.fault == "failed flush" and self.kinds[-1] == "flush" and self.n - 1 == self.at:
                        os.ftruncate(file.fileno(), 0)
                        os.set_inheritable(file.fileno(), False)
            close()

        file.write, file.close = counted, closing
        return _Closing(file, closing)

    def inside(self, path: Any) -> bool:
        """Whether a path lies in the folder that is watched."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder)  # noqa: PTH100

    def is_open(self, file: int) -> bool:
        """Whether an open file lies there."""
        try:
            return self.inside(os.readlink(f"/proc/self/fd/{file}"))  # noqa: PTH115
        except OSError:
            return False


class _Closing:
    """A file whose `with` block ends by the watched close: the one of C would not see it."""

    def __init__(self, file: Any, close: Callable[[], None]) -> None:
        self._file, self.close = file, close

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _Closing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._file)


_real_open, _real_write, _real_fsync = os.open, os.write, os.fsync


def _half(file: Any, data: Any) -> None:
    """Write the first half, down to the system."""
    if isinstance(file, int):
        _real_write(file, data[: len(data) // 2])
    else:
        type(file).write(file, data[: len(data) // 2])
        file.flush()


@dataclass(frozen=True)
class Outcome:
    """What came of the work."""

    code: int
    """0: done; `DIED`; `FAILED`: it raised."""
    kinds: list[str]
    """The points that it passed."""
    synced: dict[str, tuple[int, int]]


def run(work: Callable[[], object], folder: Path, fault: Fault | None = None, at: int = -1) -> Outcome:
    """The work in a child process, with a fault at one of its points."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # a child that hangs ends by itself
        layer, code = Layer(str(folder.resolve()), fault, at), 0
        layer.install()
        try:
            work()
        except BaseException:
            code = FAILED
        layer.tell()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    account = Path(f"{folder.resolve()}.account")
    told = json.loads(account.read_text())
    account.unlink()
    return Outcome(os.waitstatus_to_exitcode(status), told["kinds"], {k: tuple(v) for k, v in told["synced"].items()})


def run_limited(work: Callable[[], object], folder: Path, n_bytes: int) -> int:
    """The work in a child that may write no file beyond so many bytes, as the kernel sees to; its exit code."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
        try:
            work()
        except BaseException:
            os._exit(FAILED)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def cut_power(folder: Path, before: dict[Path, tuple[int, int, int]], synced: dict[str, tuple[int, int]]) -> int:
    """Cut every file that changed and was not synced since: one that was there to its old size, a new one to nothing.

    Returns how many.
    """
    n = 0
    for path, state in states(folder).items():
        stat = path.stat()
        if before.get(path) != state and synced.get(f"{stat.st_dev}:{stat.st_ino}") != (stat.st_size, stat.st_mtime_ns):
            old = before.get(path, (0, 0, 0))
            os.truncate(path, min(old[2], stat.st_size) if old[0] == stat.st_ino else 0)
            n += 1
    return n


def states(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Number, time of change and size of every file."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


@dataclass(frozen=True)
class Writer:
    """One of Ratchet's stores: how it is made, written to, and read."""

    name: str
    prepare: Callable[[Path], object]
    """What is there before, in an empty folder."""
    write: Callable[[Path], object]
    """The work; repeated after a fault it has to end well."""
    read: Callable[[Path], Any]
    """What the store says; raises where it is damaged."""


@dataclass
class Tally:
    """Faults of one kind that were injected into one writer, and what was found."""

    injected: int = 0
    old: int = 0
    """The store was as before."""
    new: int = 0
    """It was as after the work."""
    damaged: list[str] = field(default_factory=list)
    """Anything else."""


def inject(writer: Writer, base: Path, n_points: int = 0) -> dict[Fault, Tally]:
    """Every fault at every point of the writer; after each the store is read, and the work is done again.

    Args:
        writer: the store.
        base: an empty folder.
        n_points: points of each fault, spread over the work; 0: all.
    """
    source = base / "source"
    source.mkdir(parents=True)
    writer.prepare(source)
    before = writer.read(source)
    whole = _copy(source, base / "whole")
    points = run(lambda: writer.write(whole), whole)
    assert points.code == 0, f"{writer.name}: the work fails without a fault"
    after = writer.read(whole)
    assert after != before, f"{writer.name}: the work changes nothing"
    tallies = {fault: Tally() for fault in FAULTS}
    for fault in FAULTS:
        for at in _spread(_points(fault, points.kinds), n_points):
            place = _copy(source, base / "place")
            files = states(place)
            outcome = run(partial(writer.write, place), place, fault, at)
            if fault == "loss of power":
                cut_power(place, files, outcome.synced)
            _judge(writer, place, tallies[fault], before, after, f"{fault} at {at} {points.kinds[at : at + 1]}")
    for n_bytes in (0, 40, 400):
        place = _copy(source, base / "place")
        run_limited(partial(writer.write, place), place, n_bytes)
        _judge(writer, place, tallies["disk full"], before, after, f"a limit of {n_bytes} bytes")
    return tallies


def _points(fault: Fault, kinds: list[str]) -> list[int]:
    """The points at which a fault can happen; a death also when all is done."""
    wanted = {"torn write": {"write"}, "disk full": {"write", "open", "os.mkdir"}, "failed flush": {"flush", "fsync"}}
    if fault in ("death", "loss of power"):
        return list(range(len(kinds) + 1))
    return [at for at, kind in enumerate(kinds) if kind in wanted[fault]]


def _spread(points: list[int], n: int) -> list[int]:
    """So many of the points, with the first and the last; 0: all.

    >>> _spread([0, 1, 2, 3, 4, 5], 3), _spread([0, 1], 3)
    ([0, 2, 5], [0, 1])
    """
    if not n or len(points) <= n:
        return points
    return [points[at * (len(points) - 1) // (n - 1)] for at in range(n)]


def _judge(writer: Writer, place: Path, tally: Tally, before: Any, after: Any, where: str) -> None:
    tally.injected += 1
    try:
        found = writer.read(place)
        if found == before:
            tally.old += 1
        elif found == after:
            tally.new += 1
        else:
            tally.damaged.append(f"{where}: neither the old state nor the new one")
        again = run(lambda: writer.write(place), place)
        if again.code or writer.read(place) != after:
            tally.damaged.append(f"{where}: the work cannot be done again")
    except Exception as error:
        tally.damaged.append(f"{where}: {type(error).__name__}: {error}")


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
