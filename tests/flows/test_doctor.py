"""`ratchet doctor`: each kind of damage is named with what to do, and a sound workspace is quiet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.checks.doctor import examine
from flows.forgetting.places import JOURNAL
from flows.labelling import steps as labelling
from flows.runner import workspace
from ratchet.files import write_json
from ratchet.labels.store import append, write_batch
from ratchet.registry import audit_log
from ratchet.tables import ANNOTATIONS
from tests.support.answers import stored_answers

OBJECT = ".dvc/cache/files/md5/5d/41402abc4b2a76b9719d911017c592"  # md5 of "hello"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace in which all is well."""
    write_json(tmp_path / labelling.POINTER, {"batches": []})
    batch = write_batch(tmp_path / labelling.STORE, stored_answers([("t", "anna", "yes")]), ANNOTATIONS)
    append(tmp_path / labelling.POINTER, [batch] if batch else [], "0" * 16)
    write_json(tmp_path / "models/champion.json", {"bundle": None})
    audit_log.append(audit_log.log_path(tmp_path), who="ann", action="run", subject="s")
    (tmp_path / OBJECT).parent.mkdir(parents=True)
    (tmp_path / OBJECT).write_text("hello")
    (tmp_path / "live.yaml").write_text("log: {url: 'sqlite:///log.db'}")
    with sqlite3.connect(tmp_path / "log.db") as database:
        database.execute("CREATE TABLE a (b)")
        database.executemany("INSERT INTO a VALUES (?)", [("x" * 500,)] * 50)
    database.close()
    return tmp_path


def _append(path: str, text: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("a") as file:
            file.write(text)

    return damage


def _batch(root: Path) -> None:
    next((root / labelling.STORE).glob("*.parquet")).write_bytes(b"PAR1")


def _database(root: Path) -> None:
    content = bytearray((root / "log.db").read_bytes())
    content[4096:8192] = b"\xff" * 4096
    (root / "log.db").write_bytes(bytes(content))


def _hooks(root: Path) -> None:
    (root / ".git/hooks").mkdir(parents=True)
    (root / ".pre-commit-config.yaml").touch()


def test_a_sound_workspace_is_quiet(root: Path) -> None:
    assert examine(root) == []


@pytest.mark.parametrize(
    ("damage", "severity", "where", "fix"),
    [
        (_append(OBJECT, "!"), "error", OBJECT, "dvc pull"),
        (_batch, "error", labelling.POINTER.as_posix(), "dvc checkout"),
        (_append(labelling.POINTER.as_posix(), "}"), "error", labelling.POINTER.as_posix(), "git"),
        (_append("models/champion.json", "}"), "error", "models/champion.json", "git checkout"),
        (_append("reports/openings.json", "{"), "error", "reports/openings.json", "git checkout"),
        (_append(".ratchet/audit.jsonl", '{"torn'), "error", ".ratchet/audit.jsonl", "moves it aside"),
        (_append("data/corpus.parquet", "PAR1"), "error", "data/corpus.parquet", "dvc checkout"),
        (_append("data/forgotten.json", "[]"), "error", "data/forgotten.json", "git"),
        (_append(f"{labelling.QUEUE}/x.csv", "a,b\n1,2\n"), "error", labelling.QUEUE.as_posix(), "name the column"),
        (_append(labelling.OUTBOX.as_posix(), "{"), "error", labelling.OUTBOX.as_posix(), "correct"),
        (_append(JOURNAL.as_posix(), "{}"), "error", JOURNAL.as_posix(), "ratchet forget --yes"),
        (_append(workspace.RWLOCK.as_posix(), '{"read'), "warning", workspace.RWLOCK.as_posix(), "ratchet run"),
        (_append(workspace.RWLOCK.as_posix(), json.dumps({"write": {"a": {"pid": 1}}})), "warning", "rwlock", "clears"),
        (_append("data/.corpus.parquet.partial", "x"), "warning", "data/.corpus.parquet.partial", "delete"),
        (_append("models/.a.replaced/x", "x"), "error", "models/a", "mv models/.a.replaced models/a"),
        (_database, "error", "log.db", "recover"),
        (_hooks, "warning", ".git/hooks", "pre-commit install"),
    ],
)
def test_damage_is_named_with_what_to_do(
    root: Path, damage: Callable[[Path], object], severity: str, where: str, fix: str
) -> None:
    damage(root)
    (finding,) = examine(root)
    assert finding.severity == severity
    assert where in finding.where
    assert fix in finding.fix


def test_a_run_at_work_is_said(root: Path) -> None:
    workspace.lock_workspace(root)
    (finding,) = examine(root)
    assert finding.severity == "info"
