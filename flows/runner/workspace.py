"""What must hold before anything runs: one flow at a time, valid params, no lock left by a dead process."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import psutil

from ratchet.errors import ParamsError, PipelineError
from ratchet.files import replace_file

LOCK = Path(".dvc/tmp/flow.lock")
RWLOCK = Path(".dvc/tmp/rwlock")
ACCEPTED = Path(".dvc/tmp/params.accepted")
"""A hash of the params, and of the code that reads them, that were accepted last."""
CODE = ("pipeline_steps", "ratchet")
DVC = {"dvc", "flows.runner.dvc_server"}
"""How a DVC process is called on its command line."""

_held: dict[Path, TextIO] = {}  # the system releases a lock when its file is closed: at the end of the process, however


def prepare(root: Path) -> None:
    """Everything that can be refused before a stage runs, is refused here.

    Raises:
        PipelineError: this is no DVC repository, or another run is at work in it.
        ParamsError: a block of params.yaml does not hold what its step needs; all faulty blocks are named.
    """
    claim(root)
    check_all_params(root)


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


def check_all_params(root: Path) -> None:
    """Check every block of params.yaml against the Params of its step, before any stage starts.

    To import the steps takes as long as DVC takes to find nothing to do: what was accepted once, is not checked again.

    Raises:
        ParamsError: with the faults of all blocks.
    """
    accepted, fingerprint = root / ACCEPTED, _fingerprint(root)
    if accepted.is_file() and accepted.read_text(encoding="utf-8") == fingerprint:
        return
    from ratchet.params import check_block, check_params, read_yaml
    from ratchet.task import Task

    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    path, faults = root / "params.yaml", []
    values = read_yaml(path)
    names = list(read_yaml(root / "dvc.yaml").get("stages", {}))
    if "task" in values:
        check_params(Task, "task", values["task"], path)  # what is wrong there, every stage would repeat
    for name in names:
        model = importlib.import_module(f"pipeline_steps.{name}").Params
        try:
            check_block(model, name, values, path)
        except ParamsError as error:
            faults.append(str(error))
    unknown = sorted(set(values) - {*names, "task"})
    if unknown:
        faults.append(str(ParamsError("params.yaml has blocks of no stage.", where=path, got=", ".join(unknown))))
    if faults:
        raise ParamsError("\n\n".join(faults) + "\n\nNo stage was run.")
    with replace_file(accepted) as partial:
        partial.write_text(fingerprint, encoding="utf-8")


def _fingerprint(root: Path) -> str:
    """A hash of params.yaml, dvc.yaml and every module that a check of the params can import."""
    modules = [path for package in CODE for path in sorted((root / package).rglob("*.py"))]
    found = hashlib.sha256(sys.version.encode())
    for path in (root / "params.yaml", root / "dvc.yaml", *modules):
        found.update(f"\0{path.relative_to(root)}\0".encode())
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


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
