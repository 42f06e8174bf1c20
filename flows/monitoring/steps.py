"""Steps of the monitor on the repository's files: read the log, judge windows, keep history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.monitoring.outbox import REPORTS
from flows.runner.audit import record
from ratchet.files import replace_file
from ratchet.monitoring.findings import Finding
from ratchet.prediction_log.tables import PREDICTIONS, TableName

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

    from ratchet.monitoring.settings import MonitorParams
    from ratchet.monitoring.windows import Window

HISTORY = REPORTS / "windows.jsonl"
PAGE, LATEST, METRICS = REPORTS / "drift.html", REPORTS / "latest.json", REPORTS / "metrics.prom"
SUITE = Path("data/suites/production_log.json")
N_JUDGED_BY_SUITE = 2000
"""Sample size of a window for the suite: detecting languages and personal data is slow."""
N_HISTORY = 200
"""Judged windows that are kept."""
N_WINDOWS_A_PAGE = 24
"""Windows' time whose moments are looked at together."""
WINDOW_COLUMNS = [column.name for column in PREDICTIONS.columns if column.name not in ("n", "experiment")]


def read_history(root: Path) -> list[dict[str, Any]]:
    """The windows judged so far, the latest last."""
    path = root / HISTORY
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")  # splitlines would break at separators inside a text
    return [json.loads(line) for line in lines if line][-N_HISTORY:]


def read_log_since(
    root: Path,
    since: datetime | None,
    table: TableName = "predictions",
    columns: Sequence[str] | None = None,
    until: datetime | None = None,
) -> pyarrow.Table:
    """Rows of the prediction log after a moment, from the database and the compacted files; up to `until` included."""
    from ratchet.params import load_params
    from ratchet.prediction_log.tables import read_log
    from ratchet.serving.settings import LogParams

    params, tick = load_params(LogParams, "log", root / "live.yaml"), timedelta(microseconds=1)
    after, before = (since + tick if since else None), (until + tick if until else None)
    return read_log([params.url, root / params.folder], after, before, table, columns)


def read_log_between(root: Path, start: str, end: str, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """Rows of the prediction log from one moment to another, both included, ISO 8601."""
    first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
    return read_log_since(root, first - timedelta(microseconds=1), columns=columns, until=last)


def ended_windows(
    root: Path, history: Sequence[dict[str, Any]], params: MonitorParams, now: datetime
) -> Iterator[Window]:
    """The windows that have ended since the last one that was judged, the earliest first, one in memory at a time.

    The log is read by pages of some windows' time: of a page the moments, of a window its rows. Before the first run
    it is as if the last window had ended so long ago as the history reaches back.
    """
    from ratchet.monitoring.windows import Window, aware, cut_spans, times_of

    length = timedelta(minutes=params.window_minutes)
    since = datetime.fromisoformat(history[-1]["end"]) if history else now - N_HISTORY * length
    until = since
    while until < now:
        until = min(until + N_WINDOWS_A_PAGE * length, now)
        times = times_of(read_log_since(root, since, columns=["timestamp"], until=until))
        clock = now if until == now else until
        spans = cut_spans(times, params.window_minutes, params.window_rows, min(params.window_sizes), clock)
        for first, end in spans:
            start, since = aware(times[first], now), aware(times[end - 1], now)
            yield Window(start, since, read_log_between(root, start.isoformat(), since.isoformat(), WINDOW_COLUMNS))


def volunteered(root: Path, window: dict[str, Any]) -> dict[str, int]:
    """Corrections that users sent by themselves on answers of a judged window: shown, and never judged.

    People correct what is wrong more often than they confirm what is right: their share says nothing of the traffic's.
    """
    from ratchet.monitoring.delayed_labels import join_labels

    answers = read_log_between(
        root, window["start"], window["end"], ["timestamp", "request_id", "predicted", "confidence"]
    )
    since = datetime.fromisoformat(window["start"])
    late = join_labels(answers, read_log_since(root, since, "feedback"))
    return {"n": len(late.wrong), "n_wrong": int(late.wrong.sum())}


def judge_by_suite(
    root: Path, window: Window, labels: list[str] | None, params: MonitorParams
) -> tuple[Any, list[Finding]]:
    """Outcomes of the log's rules on a random sample of the answered rows, and a finding per broken rule.

    `labels` are the classes that the model knows; without them nothing is judged.
    """
    import numpy as np
    import pyarrow.compute as pc

    from pipeline_steps import validate
    from ratchet.data.rules.suites import read_suite
    from ratchet.monitoring.windows import draw
    from ratchet.params import load_params
    from ratchet.prediction_log.rules import LOGGED, judge_log

    rows = window.rows.filter(pc.equal(window.rows.column("status"), 200))
    rows = draw(rows, min(len(rows), N_JUDGED_BY_SUITE), np.random.default_rng(params.seed))
    if not len(rows) or labels is None:
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
