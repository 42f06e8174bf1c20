"""Steps of the monitor on the repository's files: read the log, judge windows, keep history, alert once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.labelling.choosing import model_folder
from flows.reference import reference_of
from flows.runner.audit import record
from ratchet.files import read_json, replace_file, write_json
from ratchet.monitoring.findings import Finding

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

    from ratchet.monitoring.reference import Reference
    from ratchet.monitoring.settings import MonitorParams
    from ratchet.monitoring.windows import Window

REPORTS = Path("reports/monitor")
HISTORY, SENT = REPORTS / "windows.jsonl", REPORTS / "sent.json"
PAGE, LATEST, METRICS = REPORTS / "drift.html", REPORTS / "latest.json", REPORTS / "metrics.prom"
SUITE = Path("data/suites/production_log.json")
N_JUDGED_BY_SUITE = 2000
"""Sample size of a window for the suite: detecting languages and personal data is slow."""
REMIND_H = 24
"""Hours after which an alert that lasts is sent again."""
N_HISTORY = 200
"""Judged windows that are kept."""


def read_history(root: Path) -> list[dict[str, Any]]:
    """The windows judged so far, the latest last."""
    path = root / HISTORY
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would break at separators inside a text
    return [json.loads(line) for line in lines if line][-N_HISTORY:]


def read_log_since(root: Path, since: datetime | None, table: str = "predictions") -> pyarrow.Table:
    """Rows of the prediction log after a moment, from the database and the compacted files."""
    from ratchet.params import load_params
    from ratchet.prediction_log.tables import read_log
    from ratchet.serving.settings import LogParams

    params = load_params(LogParams, "log", root / "live.yaml")
    after = since + timedelta(microseconds=1) if since else None
    return read_log([params.url, root / params.folder], since=after, table=table)  # type: ignore[arg-type]


def read_log_between(root: Path, start: str, end: str) -> pyarrow.Table:
    """Rows of the prediction log from one moment to another, both included, ISO 8601."""
    import pyarrow.compute as pc

    first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    rows = read_log_since(root, first - timedelta(microseconds=1))
    return rows.filter(pc.less_equal(rows.column("timestamp"), last))


def new_windows(root: Path, history: Sequence[dict[str, Any]], params: MonitorParams, now: datetime) -> list[Window]:
    """The windows that have ended since the last one that was judged."""
    from ratchet.monitoring.windows import cut_windows

    since = datetime.fromisoformat(history[-1]["end"]) if history else None
    log = read_log_since(root, since)
    return cut_windows(log, params.window_minutes, params.window_rows, min(params.window_sizes), now)


def served_reference(root: Path, windows: Sequence[Window], params: MonitorParams) -> tuple[Path, Reference]:
    """The folder of the champion, and its reference under the version by which the log names it."""
    from dataclasses import replace

    import pyarrow.compute as pc

    bundle = model_folder(root)
    reference = reference_of(root, bundle, params)
    rows = windows[-1].rows
    versions = rows.filter(pc.equal(rows.column("arm"), "champion")).column("model_version")
    return bundle, replace(reference, version=versions[-1].as_py()) if len(versions) else reference


def judge_by_suite(root: Path, window: Window, labels: list[str], params: MonitorParams) -> tuple[Any, list[Finding]]:
    """Outcomes of the log's rules on a random sample of the answered rows, and a finding per broken rule."""
    import numpy as np
    import pyarrow.compute as pc

    from pipeline_steps import validate
    from ratchet.data.rules.suites import read_suite
    from ratchet.monitoring.windows import draw
    from ratchet.params import load_params
    from ratchet.prediction_log.rules import LOGGED, judge_log

    rows = window.rows.filter(pc.equal(window.rows.column("status"), 200))
    rows = draw(rows, min(len(rows), N_JUDGED_BY_SUITE), np.random.default_rng(params.seed))
    if not len(rows):
        return [], []

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield rows.select(list(columns)).to_pandas()

    suite = read_suite(root / SUITE, {"labels": labels})
    regions = load_params(validate.Params, "validate", root / "params.yaml").regions
    outcomes = judge_log(read, rows.select(list(LOGGED)).schema, suite, None, regions)
    judged = [item for item in outcomes if not item.skipped]
    broken = [item for item in judged if not item.success]
    findings = [
        Finding(
            "log",
            item.rule.name,
            "alert" if item.rule.severity == "stop" else "warning",
            f"{item.rule.reason}: {item.words}.",
            {"observed": float(item.observed), "n": len(rows)},
        )
        for item in broken
    ]
    return [{"rule": item.rule.name, "success": item.success, "observed": item.observed} for item in judged], findings


def append_history(root: Path, judged: Sequence[dict[str, Any]]) -> None:
    """Add windows to the history, whole or not at all: killed before, the same windows are judged again."""
    history = [*read_history(root), *judged][-N_HISTORY:]
    replace_text(root / HISTORY, "".join(json.dumps(item, sort_keys=True) + "\n" for item in history))


def log_access(root: Path, window: Window) -> None:
    """Record in the audit log that personal data were read."""
    details: dict[str, str | int | float | bool] = {"table": "prediction_log", "n_rows": len(window.rows)}
    record(root, "personal_data", f"window-{window.end.isoformat()}", details, "monitoring")


def unsent_alerts(root: Path, version: str, findings: Sequence[Finding], now: datetime) -> list[Finding]:
    """The alerts not sent yet, or not within REMIND_H; records them as sent.

    What is no longer found is dropped from the record, so that it is sent anew when it comes back.
    """
    path = root / SENT
    sent: dict[str, str] = read_json(path) if path.is_file() else {}
    alerts = {f"{version}/{item.key}": item for item in findings if item.severity == "alert"}
    new = {
        key: item
        for key, item in alerts.items()
        if key not in sent or now - datetime.fromisoformat(sent[key]) >= timedelta(hours=REMIND_H)
    }
    write_json(path, {key: now.isoformat() if key in new else sent[key] for key in alerts})
    return list(new.values())


def write_metrics(root: Path, latest: dict[str, Any], n_alerts: int, now: datetime) -> None:
    """Write metrics for Prometheus' text-file collector: time of the last run, alerts, requests, drift, accuracy."""
    figures = {
        "ratchet_monitor_last_run_timestamp_seconds": now.timestamp(),
        "ratchet_monitor_alerts": n_alerts,
        "ratchet_monitor_window_requests": latest.get("n_requests", 0),
    }
    if latest.get("drift"):
        figures["ratchet_drift_p_value"] = latest["drift"]["p"]
        figures["ratchet_drift_confirmed"] = int(latest["drift"]["again"])
    if (estimate := latest.get("accuracy_estimates", {}).get("cbpe", {}).get("value")) is not None:
        figures["ratchet_accuracy_estimate"] = estimate
        figures["ratchet_accuracy_reference"] = latest["reference_accuracy"]
    lines = [f"# TYPE {name} gauge\n{name} {value}\n" for name, value in figures.items()]
    replace_text(root / METRICS, "".join(lines))


def replace_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replace_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)
