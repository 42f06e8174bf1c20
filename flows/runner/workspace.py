"""Preconditions of a run: one flow at a time, no contradictory params, no lock left by a dead process."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
from pathlib import Path
from typing import Any, TextIO

import psutil

from ratchet.errors import PipelineError

LOCK = Path(".dvc/tmp/flow.lock")
RWLOCK = Path(".dvc/tmp/rwlock")
DVC = {"dvc", "flows.runner.dvc_server"}
"""Names of a DVC process on its command line."""

_held: dict[Path, TextIO] = {}  # the system releases a lock when its file is closed: at the end of the process, however


def prepare(root: Path) -> None:
    """Lock the workspace, and check everything that can be checked before a stage runs.

    Raises:
        PipelineError: this is no DVC repository, or another run is at work in it.
        ParamsError: params.yaml, dvc.yaml, a suite or a task file contradicts itself or another; all errors are named.
    """
    from flows.checks import checklist

    claim(root)
    checklist.require(root)


def claim(root: Path) -> None:
    """Hold the workspace until this process ends, and clear what a killed run left.

    Raises:
        PipelineError: this is no DVC repository, or another run is at work in it.
    """
    if not (root / "dvc.yaml").is_file() or not (root / ".dvc").is_dir():
        raise PipelineError(
            "There is no pipeline here.",
            where=root,
            expected="dvc.yaml and .dvc/",
            fix="run from the repository's root",
        )
    lock_workspace(root)
    clean_rwlock(root)


def lock_workspace(root: Path) -> None:
    """Hold the workspace until this process ends.

    Raises:
        PipelineError: another flow holds it.
    """
    path = (root / LOCK).resolve()
    if path in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise PipelineError(
            "Another run is at work in this workspace.",
            where=root,
            got=f"process {holder or 'unknown'}",
            expected="one run at a time",
            fix="wait for it, or stop it, and start again",
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    _held[path] = file
    atexit.register(file.close)


def clean_rwlock(root: Path) -> None:
    """Drop entries of dead processes from DVC's read-write lock, and the whole file when a killed DVC truncated it.

    Raises:
        PipelineError: the file is broken while a DVC process is at work here.
    """
    path = root / RWLOCK
    if not path.exists():
        return
    others = dvc_processes(root)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kept = _living(entries, others)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if others:
            raise PipelineError(
                "DVC's lock file is broken, and a DVC process is at work.",
                where=path,
                got=error,
                expected="no other DVC process",
                fix=f"wait for process {others[0]}, then start again",
            ) from None
        path.unlink()
        return
    if kept != entries:
        path.write_text(json.dumps(kept), encoding="utf-8")


def dvc_processes(root: Path) -> list[int]:
    """Ids of the DVC processes that work in this repository."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [Path(word).name for word in process.cmdline()[:3]]
            if not {"dvc", "flows.runner.dvc_server"}.isdisjoint(words) and Path(process.cwd()).is_relative_to(
                root.resolve()
            ):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def _living(entries: dict[str, Any], pids: list[int]) -> dict[str, Any]:
    """The entries of these processes: `write` maps a path to one holder, `read` to several."""
    write = {path: info for path, info in entries.get("write", {}).items() if info["pid"] in pids}
    read = {path: [info for info in infos if info["pid"] in pids] for path, infos in entries.get("read", {}).items()}
    kept = {"write": write, "read": {path: infos for path, infos in read.items() if infos}}
    return {mode: kept[mode] for mode in entries}
