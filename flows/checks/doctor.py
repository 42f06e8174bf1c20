"""Diagnosis of a workspace: what a crash, a full disk or a hand left damaged, and what to do about each.

Nothing is changed. `ratchet check` reads what people write; this reads what Ratchet and DVC keep.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from flows.checks.finding import Finding, error, info, refused, warning
from flows.checks.project import LIVE
from flows.forgetting.places import JOURNAL as FORGETTING
from flows.init.writing import JOURNAL as INIT
from flows.labelling import steps as labelling
from flows.monitoring.outbox import REPORTS
from flows.runner import workspace
from flows.runner.openings import OPENINGS
from ratchet.data.forgotten import TOMBSTONES, read_tombstones
from ratchet.files import read_json
from ratchet.params import read_yaml

CHAMPION, MARK = Path("models/champion.json"), Path("models/high_water_mark.json")
HOOKS = ("pre-commit", "pre-push", "post-checkout")
CACHE = Path(".dvc/cache")
JSON_STATE = ("data/accepted_profile.json", OPENINGS.as_posix(), "data/init.json", f"{REPORTS}/*.json")
MAX_HASHED = 50_000_000
"""Bytes of an object up to which its content is held against its name, unless all are asked for."""


def examine(root: Path, deep: bool = False) -> list[Finding]:
    """Everything that is damaged or left over, damage first.

    Args:
        root: the workspace.
        deep: whether large objects of the cache are hashed, too.
    """
    found = [finding for check in CHECKS for finding in check(root)]
    found += check_objects(root, None if deep else MAX_HASHED)
    return sorted(dict.fromkeys(found), key=lambda item: ("error", "warning", "info").index(item.severity))


def check_locks(root: Path) -> Iterator[Finding]:
    """A run at work, and entries of dead processes in DVC's read-write lock."""
    path = root / workspace.LOCK
    if path.is_file():
        with path.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                process = f"process {file.read().strip()}"
                yield info("A run is at work: what it writes may look damaged.", path, got=process)
    path = root / workspace.RWLOCK
    if path.is_file() and not workspace.dvc_processes(root):
        fix = "ratchet run clears it"
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as problem:
            yield warning("DVC's lock file is broken.", path, got=problem, fix=fix)
        else:
            if any(entries.get(mode) for mode in ("read", "write")):
                yield warning("A dead process holds DVC's lock.", path, fix=fix)


def check_leftovers(root: Path) -> Iterator[Finding]:
    """Partial files of writers that were killed, folders that were not put back, and work that was begun."""
    for name in ("*", "*/*", "*/*/*"):
        for path in sorted(root.glob(name)):
            if path.name.startswith(".") and path.name.endswith(".partial"):
                yield warning("A writer was killed: this is no file of anything.", _of(root, path), fix="delete it")
            if path.name.startswith(".") and path.name.endswith(".replaced"):
                real = path.with_name(path.name[1:].removesuffix(".replaced"))
                if real.exists():
                    yield warning("The folder that was replaced is still there.", _of(root, path), fix="delete it")
                else:
                    fix = f"mv {_of(root, path)} {_of(root, real)}"
                    yield error("A writer was killed while it replaced a folder.", _of(root, real), fix=fix)
    if (root / FORGETTING).is_file():
        yield error("A removal of texts was begun and not ended.", FORGETTING, fix="ratchet forget --yes carries on")
    if (root / INIT).is_file():
        yield error("A task was being written.", INIT, fix="ratchet init undoes it, and begins anew")


def check_labels(root: Path) -> Iterator[Finding]:
    """The label store with every batch, and the queue's files."""
    from ratchet.labels.queues import FileQueue, read_items
    from ratchet.labels.store import read_store

    for place in (labelling.TRAINING, labelling.JUDGING):
        if (root / place.pointer).is_file():
            yield from refused(partial(read_store, root / place.pointer, root / place.store), place.pointer)
    outbox = root / labelling.OUTBOX
    if outbox.is_file():
        yield from refused(lambda: read_items(outbox), labelling.OUTBOX) or [
            info("Chosen texts have not been sent: the next `ratchet labels push` sends them.", labelling.OUTBOX)
        ]
    for folder in (labelling.QUEUE, labelling.CONFLICTS):
        yield from refused(FileQueue(root / folder).answers, folder)


def check_pointers(root: Path) -> Iterator[Finding]:
    """What serves, the best ever released, and the list of forgotten texts."""
    from ratchet.models.champion import champion_path, mark_path

    pointers: Sequence[tuple[Path, Callable[[Path], object]]] = ((CHAMPION, champion_path), (MARK, mark_path))
    for pointer, read in pointers:
        if (root / pointer).is_file():
            yield from _readable(root / pointer, pointer) or refused(_within(root, read, pointer), pointer)
    yield from refused(lambda: read_tombstones(root / TOMBSTONES), TOMBSTONES)
    for pattern in JSON_STATE:
        for path in sorted(root.glob(pattern)):
            yield from _readable(path, _of(root, path))


def check_audit_log(root: Path) -> Iterator[Finding]:
    """The chain of the audit log."""
    from ratchet.registry.audit_log import log_path, verify

    yield from refused(lambda: verify(log_path(root)), log_path(root))


def check_tables(root: Path) -> Iterator[Finding]:
    """Tables whose end was never written."""
    import pyarrow.parquet

    for path in sorted(root.glob("data/**/*.parquet")):
        if path.is_relative_to(root / labelling.STORE):
            continue
        try:
            pyarrow.parquet.read_metadata(path)
        except (OSError, pyarrow.ArrowException) as problem:
            fix = f"dvc checkout {_of(root, path)}, or ratchet run"
            yield error("A table cannot be read.", _of(root, path), got=str(problem).splitlines()[0], fix=fix)


def check_prediction_log(root: Path) -> Iterator[Finding]:
    """SQLite's own check of the prediction log."""
    live = read_yaml(root / LIVE) if (root / LIVE).is_file() else {}
    url = str((live.get("log") or {}).get("url", ""))
    path = root / url.removeprefix("sqlite:///")
    if not url.startswith("sqlite:///") or not path.is_file():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error as problem:
        said = str(problem)
    if said != "ok":
        fix = "move it away, with its -wal and -shm; `sqlite3 OLD .recover` saves rows"
        yield error("The prediction log is damaged.", _of(root, path), got=said, fix=fix)


def check_hooks(root: Path) -> Iterator[Finding]:
    """Hooks of Git that are not installed."""
    folder = root / ".git/hooks"
    if not folder.is_dir() or not (root / ".pre-commit-config.yaml").is_file():
        return
    if missing := [name for name in HOOKS if not (folder / name).is_file()]:
        fix = "pre-commit install --install-hooks -t pre-commit -t pre-push -t post-checkout"
        names = ", ".join(missing)
        yield warning("Hooks are not installed: nobody checks what is committed.", folder, got=names, fix=fix)


def check_objects(root: Path, max_bytes: int | None) -> Iterator[Finding]:
    """Objects of DVC's cache that are not what their name says, up to a size."""
    for path in sorted((root / CACHE).glob("files/md5/??/*")):
        name = path.parent.name + path.name.removesuffix(".dir")
        if not re.fullmatch(r"[0-9a-f]{32}", name) or (max_bytes is not None and path.stat().st_size > max_bytes):
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if digest != name:
            fix = "delete it; dvc pull, or ratchet run, brings it back"
            yield error("An object of DVC's cache is damaged.", _of(root, path), got=digest, expected=name, fix=fix)


CHECKS: Sequence[Callable[[Path], Iterator[Finding]]] = (
    check_locks,
    check_leftovers,
    check_labels,
    check_pointers,
    check_audit_log,
    check_tables,
    check_prediction_log,
    check_hooks,
)
"""A further concern is a function and a line here."""


def _readable(path: Path, where: object) -> list[Finding]:
    """What is wrong with a JSON file; empty where it can be read."""
    try:
        read_json(path)
    except (OSError, ValueError) as problem:
        return [error("A file of state cannot be read.", where, got=problem, fix=f"git checkout {where}, or delete it")]
    return []


def _within(root: Path, read: Callable[[Path], Any], pointer: Path) -> Callable[[], object]:
    """Reading of a pointer, whose bundle is named relative to the root."""
    from contextlib import chdir

    def call() -> object:
        with chdir(root):
            return read(pointer)

    return call


def _of(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
