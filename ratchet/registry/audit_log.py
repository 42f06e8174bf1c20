"""The audit log, a hash chain: JSON lines of who did what, when and why, each with the hash of the one before it.

A line is the canonical JSON of an `Entry`, so any changed byte changes a hash; the head (number and hash of the last
entry) pins all that came before. A head that was written down elsewhere, as every promotion's tag does, also shows that
the end was cut or the whole was written anew; what came after the last one that was written down can be cut unseen.

Entries hold identifiers, counts, hashes and the actor's own reason: no text of people, and nothing that looks like a
secret is accepted.

Source: hash chains as in Schneier and Kelsey, Secure Audit Logs to Support Computer Forensics (ACM TISSEC 2(2), 1999).
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ratchet.errors import ReleaseError
from ratchet.registry.audit_entry import (
    MAX_LINE_BYTES,
    NO_HASH,
    Action,
    Entry,
    Head,
    Scalar,
    parse_line,
    refuse_secrets,
)

LOG = Path(".ratchet/audit.jsonl")


def log_path(root: Path) -> Path:
    """`$RATCHET_AUDIT_LOG`, for a log that several workspaces share; else the workspace's own."""
    return root / os.environ.get("RATCHET_AUDIT_LOG", LOG)


def actor() -> str:
    """`$RATCHET_WHO`, as a service sets it, or the user of this machine. Claimed, not signed."""
    if who := os.environ.get("RATCHET_WHO"):
        return who
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"uid-{os.getuid()}"


def append(
    path: Path, *, who: str, action: Action, subject: str, why: str = "", details: Mapping[str, Scalar] | None = None
) -> Head:
    """Add an entry, whole and on disk before this returns; the new head. Safe for concurrent processes.

    A line that a crash tore is moved beside the log (`NAME.torn-N`), and an entry of its own says so.

    Raises:
        ReleaseError: the entry holds what must not be logged, or the last line of the log fails verification.
    """
    refuse_secrets(who=who, subject=subject, why=why, details=details or {})
    with _locked(path) as file:
        head = _last(path, file)
        if torn := _torn(file):
            head = _repair(path, file, head, torn)
        return _write(file, head, who=who, action=action, subject=subject, why=why, details=dict(details or {}))


def entries(path: Path) -> list[Entry]:
    """All entries, after the whole chain was verified; none where there is no log yet.

    Raises:
        ReleaseError: see `verify`.
    """
    return list(_verified(path.read_bytes() if path.exists() else b"", path))


def verify(path: Path, heads: Sequence[Head] = ()) -> Head:
    """Verify the chain and that it contains every given head; returns its head.

    Raises:
        ReleaseError: a line was altered, removed, added, moved or torn; or the log is not the one of which a head
            was written down.
    """
    hashes = [NO_HASH, *(entry.sha256 for entry in entries(path))]
    for head in heads:
        if head.n >= len(hashes):
            raise ReleaseError(
                "The audit log was cut.",
                where=path,
                got=f"{len(hashes) - 1} entries",
                expected=f"at least {head.n}, of which a head was written down",
                fix="restore it from a copy",
            )
        if hashes[head.n] != head.sha256:
            raise ReleaseError(
                "The audit log was rewritten.",
                where=f"{path}, entry {head.n}",
                got=hashes[head.n],
                expected=f"{head.sha256}, which was written down",
                fix="restore it from a copy",
            )
    return Head(len(hashes) - 1, hashes[-1])


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The log, open and held against other processes; made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # which also releases the lock


def _last(path: Path, file: int) -> Head:
    """The head by the last whole line, which must hold in itself; appending does not read the whole chain."""
    whole = _tail(file).rpartition(b"\n")[0]
    if not whole:
        return Head(0, NO_HASH)
    return parse_line(whole.rpartition(b"\n")[2] + b"\n", f"{path}, last line").head()


def _tail(file: int) -> bytes:
    size = os.fstat(file).st_size
    start = max(0, size - 2 * MAX_LINE_BYTES)
    return os.pread(file, size - start, start)


def _torn(file: int) -> bytes:
    """A partial line that a crash left at the end."""
    return _tail(file).rpartition(b"\n")[2]


def _repair(path: Path, file: int, head: Head, torn: bytes) -> Head:
    path.with_name(f"{path.name}.torn-{head.n + 1}").write_bytes(torn)
    os.ftruncate(file, os.fstat(file).st_size - len(torn))
    details: dict[str, Scalar] = {"n_bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
    why = "the last line was torn by a crash and was moved aside"
    return _write(file, head, who="audit-log", action="repair", subject=path.name, why=why, details=details)


def _write(
    file: int, head: Head, *, who: str, action: Action, subject: str, why: str, details: dict[str, Scalar]
) -> Head:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    try:
        entry = Entry(
            n=head.n + 1,
            time=now,
            who=who,
            action=action,
            subject=subject,
            why=why,
            details=details,
            previous=head.sha256,
        )
        entry = entry.model_copy(update={"sha256": entry.digest()})
        line = entry.line()
    except ValueError as error:
        raise ReleaseError("The entry cannot be logged.", got=error, fix="correct it") from None
    if len(line) > MAX_LINE_BYTES:
        raise ReleaseError("The entry is too long.", got=f"{len(line)} bytes", expected=f"at most {MAX_LINE_BYTES}")
    written = 0
    while written < len(line):
        written += os.write(file, line[written:])
    os.fsync(file)
    return entry.head()


def _verified(content: bytes, path: Path) -> Iterator[Entry]:
    head = Head(0, NO_HASH)
    *lines, rest = content.split(b"\n")
    for line in lines:
        where = f"{path}, line {head.n + 1}"
        entry = parse_line(line + b"\n", where)
        if (entry.n, entry.previous) != (head.n + 1, head.sha256):
            raise ReleaseError(
                "The audit log was altered: a line does not follow the one before it.",
                where=where,
                got=f"entry {entry.n} after {entry.previous}",
                expected=f"entry {head.n + 1} after {head.sha256}",
                fix="restore the log from a copy",
            )
        head = entry.head()
        yield entry
    if rest:
        raise ReleaseError(
            "The last line of the audit log is torn.",
            where=f"{path}, after line {head.n}",
            got=f"{len(rest)} bytes",
            fix="the next entry moves it aside; if no process crashed here, someone cut the log",
        )
