"""A person's answers as they are given: a line each in a file of the queue's folder, for `ratchet labels pull`."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.errors import PipelineError
from ratchet.labels.annotators import canonical_name
from ratchet.labels.queues import read_rows

PREFIX, LOCK = "answers-", ".label.lock"


@dataclass(frozen=True)
class Given:
    """An answer as the labelling view keeps it."""

    id: str
    """Of the text."""
    label: str
    """The class, or `skip`."""
    annotator: str
    annotated_at: str
    """UTC, ISO 8601."""
    lead_time_s: float
    """From the page to the answer; NaN: too long to have been work."""
    comment: str = ""
    change_reason: str = ""
    """Why an earlier answer was changed."""
    suggested: str = ""
    """What the model would give; empty: there was none."""
    was_shown: bool = False
    """Whether the person saw it."""

    def to_json(self) -> dict[str, Any]:
        """The line of the file: the columns of a sheet, and what the labelling view measures."""
        seconds = None if math.isnan(self.lead_time_s) else round(self.lead_time_s, 2)
        return {**self.__dict__, "lead_time_s": seconds}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Given:
        """An answer read back."""
        seconds = row.get("lead_time_s")
        words = {name: str(row.get(name) or "") for name in ("id", "label", "annotator", "annotated_at")}
        words |= {name: str(row.get(name) or "") for name in ("comment", "change_reason", "suggested")}
        lead_time_s = math.nan if seconds is None else float(seconds)
        return cls(**words, lead_time_s=lead_time_s, was_shown=bool(row.get("was_shown")))


class AnswerLog:
    """The answers of one person: only added to, each on the disk before the next page is shown.

    A line that a power cut has torn is cut off when the file is opened: its answer was never confirmed.
    """

    def __init__(self, folder: Path, annotator: str) -> None:
        self.path = folder / f"{PREFIX}{_file_name(annotator)}.jsonl"
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self.path)
        rows = read_rows(self.path) if self.path.exists() else []
        self._answers = [Given.from_json(row) for row in rows]
        self._latest = {answer.id: answer for answer in self._answers}

    @property
    def answers(self) -> list[Given]:
        """All of them, the first one first, those that were changed later among them."""
        return list(self._answers)

    @property
    def latest(self) -> dict[str, Given]:
        """A text's id → the answer that counts, in the order of the texts' first answers."""
        return dict(self._latest)

    def add(self, answer: Given) -> bool:
        """Keep an answer; False where it is the one that counts already: a form that was sent twice."""
        with self._lock:
            known = self._latest.get(answer.id)
            if known and (known.label, known.comment) == (answer.label, answer.comment):
                return False
            line = json.dumps(answer.to_json(), ensure_ascii=False, sort_keys=True) + "\n"
            is_new = not self.path.exists()
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line.encode())
                os.fsync(file)
            finally:
                os.close(file)
            if is_new:
                _sync_folder(self.path.parent)
            self._answers.append(answer)
            self._latest[answer.id] = answer
            return True


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A folder's answers are taken by one server at a time: two would ask the same texts and not know of each other.

    Raises:
        PipelineError: another one takes them. It is left when its process ends, however it ends.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                "Somebody is served from this folder already.",
                where=folder,
                fix="end the other ratchet label, or name all people in one: --person ann --person bob",
            ) from None
        yield


def read_logs(folder: Path) -> list[Given]:
    """The answers of everybody who used the labelling view, by person."""
    return [Given.from_json(row) for path in sorted(folder.glob(f"{PREFIX}*.jsonl")) for row in read_rows(path)]


def _file_name(annotator: str) -> str:
    """A name for a file that only this person has: what is legible of theirs, and a hash of all of it."""
    name = canonical_name(annotator)
    return f"{re.sub(r'[^a-z0-9]+', '-', name).strip('-')[:30]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
