"""The outbox of alerts: written before the window's history, emptied when the server has the event.

So an alert is sent at least once, wherever the monitor is killed; what is sent again has the same event id, by which
the server, and every receiver, knows it. Findings of one kind in one run are one event. An alert that lasts is sent
again after `REMIND_H`, one that comes back at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ratchet.files import read_json, write_json
from ratchet.monitoring.findings import Finding

REPORTS = Path("reports/monitor")
OUTBOX, SENT = REPORTS / "outbox.json", REPORTS / "sent.json"
REMIND_H = 24
"""Hours after which an alert that lasts is sent again."""
_NAMESPACE = uuid.UUID("5d1c2f0e-3c1b-4a44-9f0a-2a5f6c0f7d11")

Send = Callable[[Sequence[dict[str, Any]]], set[str]]
"""Sends events; returns the ids of those that are known to have arrived."""


def put(root: Path, version: str, findings: Sequence[Finding], runbook: str, now: datetime, page: str) -> list[Finding]:
    """Put the alerts that are due into the outbox, one event a kind; returns their findings.

    Due is what was not sent yet, or not within `REMIND_H`. What is no longer found is dropped from the record of what
    was sent, so that it is sent anew when it comes back. Called again for the same findings it adds nothing.

    Args:
        root: of the repository.
        version: the model that they were found of.
        findings: of all windows of the run, each key once.
        runbook: address of the page with a section for each kind.
        now: the time of the run.
        page: the page to read, under the root.
    """
    sent = _read(root / SENT, {})
    alerts = {f"{version}/{item.key}": item for item in findings if item.severity == "alert"}
    due = {key: item for key, item in alerts.items() if key not in sent or _is_old(sent[key], now)}
    waiting = {event["id"]: event for event in read(root)}
    by_kind: dict[str, list[Finding]] = {}
    for item in due.values():
        by_kind.setdefault(item.kind, []).append(item)
    for kind, items in by_kind.items():
        event = _event(kind, items, version, runbook, now, page)
        waiting.setdefault(event["id"], event)
    write_json(root / OUTBOX, list(waiting.values()))
    others = {key: when for key, when in sent.items() if not key.startswith(f"{version}/") and not _is_old(when, now)}
    ours = {key: now.isoformat() if key in due else sent[key] for key in alerts}
    write_json(root / SENT, others | ours)
    return list(due.values())


def read(root: Path) -> list[dict[str, Any]]:
    """The events that wait to be sent, the oldest first."""
    waiting: list[dict[str, Any]] = _read(root / OUTBOX, [])
    return waiting


def send(root: Path, sender: Send) -> int:
    """Send what waits; returns how many are known to have arrived. The others wait for the next run."""
    if not (waiting := read(root)):
        return 0
    arrived = sender(waiting)
    left = [event for event in waiting if event["id"] not in arrived]
    write_json(root / OUTBOX, left)
    return len(waiting) - len(left)


def _event(kind: str, items: Sequence[Finding], version: str, runbook: str, now: datetime, page: str) -> dict[str, Any]:
    """One event of all findings of a kind; its id is that of what was found, of which model and on which day."""
    keys = sorted(item.key for item in items)
    parts = [version, now.date().isoformat(), *keys, *sorted(item.message for item in items)]
    first = items[0]
    return {
        "id": str(uuid.uuid5(_NAMESPACE, "\n".join(parts))),
        "kind": kind,
        "key": first.key if len(items) == 1 else f"{kind}.{len(items)}_findings",
        "keys": keys,
        "message": " ".join(item.message for item in items),
        "next_step": first.next_step,
        "runbook": f"{runbook}#if-the-alert-is-{kind}",
        "model_version": version,
        "evidence": first.evidence if len(items) == 1 else {item.key: item.evidence for item in items},
        "page": page,
        "found_at": now.isoformat(),  # a template cannot write the event's own time as JSON
    }


def _is_old(when: str, now: datetime) -> bool:
    return now - datetime.fromisoformat(when) >= timedelta(hours=REMIND_H)


def _read(path: Path, empty: Any) -> Any:
    return read_json(path) if path.is_file() else empty
