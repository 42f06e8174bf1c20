"""What is killed, and what must hold then: the prediction log, its compaction, the audit log, alerts, stages, releases.

    python -m benchmarks.chaos_targets TARGET

works on the current folder, as `benchmarks.chaos` starts it. Where a command confirms something to the world it writes
that down first, synced to disk (`confirmed`): what was confirmed must be there afterwards, whatever happened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
N_ROWS, N_ENTRIES = 4_000, 60
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
CONFIRMED = "confirmed"


@dataclass(frozen=True)
class Target:
    """A command, the folder that it works on, and its invariants."""

    name: str
    what: str
    """What must hold, for the report."""
    make: Callable[[Path], None]
    """Makes the folder."""
    command: Sequence[str]
    """Arguments of Python, run in the folder."""
    broken: Callable[..., list[str]]
    """(folder, done) → what does not hold; `done`: after the command has completed."""
    disk_full: bool
    """Whether the folder may be full while it runs."""

    def environment(self, folder: Path) -> dict[str, str]:
        """Of the command: nothing of the surrounding session."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        own = {"PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        python = {} if self.name.startswith("stage") else {"PYTHONPATH": str(ROOT)}
        return {**kept, **own, **python, "PREFECT_HOME": str(folder / ".prefect")}


def confirm(line: str) -> None:
    """Write down that something was confirmed, synced to disk."""
    with Path(CONFIRMED).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def confirmed(folder: Path) -> list[str]:
    """The whole lines that were confirmed."""
    path = folder / CONFIRMED
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []


def _empty(folder: Path) -> None:
    folder.mkdir()


# the prediction log: rows that were committed are there, each once, without a gap


def log() -> None:
    """Write rows until all are there; each batch that the database has is confirmed."""
    from ratchet.prediction_log.database import open_database
    from ratchet.prediction_log.tables import read_log
    from ratchet.prediction_log.writer import LogWriter

    there = len(read_log("sqlite:///log.db", columns=["request_id"]))
    writer = LogWriter(open_database("sqlite:///log.db"), 100, 20, 50_000)
    before = there
    for number in range(there, N_ROWS):
        writer.add("predictions", [_row(number)])
        if writer.n_written and before != there + writer.n_written:
            before = there + writer.n_written
            confirm(str(before))
    writer.close(60)


def _row(number: int) -> dict[str, Any]:
    from ratchet.prediction_log.tables import microseconds

    return {
        "timestamp": microseconds(START + timedelta(seconds=number)),
        "request_id": str(number),
        "text": f"a text of number {number}",
        "predicted": "positive",
        "confidence": 0.75,
        "model_version": "words@0123456789ab",
        "proba": b"\x00\x00\x80>\x00\x00@?",
        "latency_ms": 3.0,
        "status": 200,
        "key_id": "",
        "arm": "champion",
        "experiment": "",
    }


def _log_broken(folder: Path, done: bool) -> list[str]:
    from ratchet.prediction_log.tables import read_log

    if not (folder / "log.db").is_file():
        return []
    ids = [int(name) for name in read_log(f"sqlite:///{folder}/log.db")["request_id"].to_pylist()]
    least = N_ROWS if done else max([0, *map(int, confirmed(folder))])
    found = [] if sorted(ids) == list(range(len(ids))) else ["a row is doubled, or one is missing in between"]
    return found + ([] if len(ids) >= least else [f"{len(ids)} rows of {least} that were confirmed"])


# compaction: every row exactly once, at any moment


def _full_log(folder: Path) -> None:
    import sqlalchemy

    from ratchet.prediction_log.database import open_database
    from ratchet.prediction_log.tables import PREDICTIONS

    folder.mkdir()
    engine = open_database(f"sqlite:///{folder}/log.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(PREDICTIONS), [_row(4 * number) for number in range(N_ROWS)])
    engine.dispose()


def compaction() -> None:
    """Move every hour into its file."""
    from ratchet.prediction_log.compaction import compact_database

    compact_database("sqlite:///log.db", Path("log"), START + timedelta(days=2), 90)


def _compaction_broken(folder: Path, done: bool) -> list[str]:
    from ratchet.prediction_log.tables import read_log

    database = f"sqlite:///{folder}/log.db"
    ids = sorted(int(name) for name in read_log([database, folder / "log"])["request_id"].to_pylist())
    found = [] if ids == [4 * number for number in range(N_ROWS)] else [f"{len(ids)} rows of {N_ROWS}"]
    return found + (["rows are left in the database"] if done and len(read_log(database)) else [])


# the audit log: what was confirmed is in it, and the chain holds


def audit() -> None:
    """Add entries until all are there."""
    from ratchet.registry.audit_log import append, entries, verify

    path = Path("audit.jsonl")
    while (n := sum(entry.action == "decision" for entry in entries(path) if verify(path).n)) < N_ENTRIES:
        append(path, who="ann", action="decision", subject=f"run-{n}", why="it was measured")
        confirm(f"run-{n}")


def _audit_broken(folder: Path, done: bool) -> list[str]:
    from ratchet.errors import ReleaseError
    from ratchet.registry.audit_log import append, entries

    path = folder / "audit.jsonl"
    try:
        if path.is_file():
            append(
                path, who="ann", action="rejection", subject="look"
            )  # sets a torn line aside, as any later entry does
        subjects = [entry.subject for entry in entries(path) if entry.action == "decision"]
    except ReleaseError as error:
        return [str(error)]
    wanted = [f"run-{n}" for n in range(N_ENTRIES)] if done else confirmed(folder)
    doubled = len(subjects) != len(set(subjects))
    return [f"{name} is missing" for name in wanted if name not in subjects] + (
        ["an entry is doubled"] if doubled else []
    )


# alerts: at least once, by one id


def alerts() -> None:
    """Put an alert a window into the outbox and the history, and send what waits."""
    import json

    from flows.monitoring import outbox
    from ratchet.files import replace_file
    from ratchet.monitoring.findings import Finding

    def send(events: Sequence[dict[str, Any]]) -> set[str]:
        for event in events:
            confirm(event["id"])
        return {event["id"] for event in events}

    root, history = Path(), Path("history.json")
    outbox.send(root, send)
    for window in range(len(json.loads(history.read_text())) if history.is_file() else 0, 40):
        found = [Finding("anomaly", f"key-{window}", "alert", f"Window {window}.", {})]
        outbox.put(root, "m@1", found, "runbook.md", START + timedelta(hours=window), "page.html")
        with replace_file(history) as partial:
            partial.write_text(json.dumps(list(range(window + 1))))
        outbox.send(root, send)


def _alerts_broken(folder: Path, done: bool) -> list[str]:
    import json

    from flows.monitoring import outbox

    history = folder / "history.json"
    n = len(json.loads(history.read_text())) if history.is_file() else 0
    known = {*confirmed(folder), *(event["id"] for event in outbox.read(folder))}
    if done and outbox.read(folder):
        return ["alerts still wait"]
    return [] if n <= len(known) <= n + 1 else [f"{n} windows are in the history, {len(known)} alerts are known"]


# stages of the miniature: the same command completes, with the results of a run that nobody disturbed


def _miniature(folder: Path) -> None:
    from tests.support.miniature import make_repository

    make_repository(folder)


def _stages_broken(folder: Path, done: bool) -> list[str]:
    """source 1, left and right 2 each, end 5, as plain DVC gives; DVC finds nothing to do."""
    wanted = {"source": "1", "left": "2", "right": "2", "end": "5"}
    if not done:
        return []
    found = [
        f"{name} is {text!r}" for name in wanted if (text := (folder / f"data/{name}").read_text()) != wanted[name]
    ]
    status = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--quiet"], cwd=folder, env=TARGETS["stages"].environment(folder)
    )
    return found + (["DVC calls the run stale"] if status.returncode else [])


WORKERS: dict[str, Callable[[], None]] = {"log": log, "compaction": compaction, "audit": audit, "alerts": alerts}
_TABLE = [
    Target("log", "committed rows are there, each once", _empty, (), _log_broken, True),
    Target("compaction", "each row exactly once, at any moment", _full_log, (), _compaction_broken, True),
    Target("audit", "confirmed entries are there, the chain holds", _empty, (), _audit_broken, True),
    Target("alerts", "each alert at least once, by one id", _empty, (), _alerts_broken, False),
    Target(
        "stages",
        "the same command ends with the same results",
        _miniature,
        ("-m", "dvc", "repro", "--quiet"),
        _stages_broken,
        False,
    ),
    Target(
        "flow",
        "the same flow ends with the same results",
        _miniature,
        (str(Path(sys.executable).parent / "ratchet"), "run"),
        _stages_broken,
        False,
    ),
]
TARGETS = {
    target.name: target if target.command else Target(**{**target.__dict__, "command": ("-m", __name__, target.name)})
    for target in _TABLE
}

if __name__ == "__main__":
    WORKERS[sys.argv[1]]()
