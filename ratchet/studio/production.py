"""What production has been like: windows that the monitor judged, alerts, the rollout with its evidence, the cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ratchet.errors import RatchetError
from ratchet.experiments.rollout import Rollout
from ratchet.files import read_json
from ratchet.monitoring.page import monitor_page
from ratchet.params import load_params, read_yaml
from ratchet.reporting.cost import make_report
from ratchet.reporting.outline import outline
from ratchet.reporting.ownership import Prices
from ratchet.serving.settings import LIVE_FILE

MONITOR = Path("monitor")
"""Below the reports: windows.jsonl, the windows judged so far; outbox.json, alerts that wait; sent.json, those sent."""
N_WINDOWS = 100


def production_view(root: Path, reports: Path) -> dict[str, Any]:
    """The page's values; parts that there is nothing of are empty.

    Args:
        root: the workspace.
        reports: its folder of reports.
    """
    windows = read_windows(reports)
    return {
        "windows": [_row(number, window) for number, window in enumerate(windows)][::-1][:N_WINDOWS],
        "n_windows": len(windows),
        "waiting": _json(reports / MONITOR / "outbox.json", []),
        "sent": sorted(_json(reports / MONITOR / "sent.json", {}).items(), key=lambda item: item[1], reverse=True),
        **_rollout(root),
        **_cost(root),
    }


def window_page(reports: Path, number: int) -> str | None:
    """The monitor's page as it was when that window was the latest; None: there is no such window."""
    windows = read_windows(reports)
    return monitor_page(windows[: number + 1]) if 0 <= number < len(windows) else None


def read_windows(reports: Path) -> list[dict[str, Any]]:
    """The windows judged so far, the latest last."""
    path = reports / MONITOR / "windows.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
    return [json.loads(line) for line in lines if line]


def _row(number: int, window: Mapping[str, Any]) -> dict[str, Any]:
    findings: Sequence[Mapping[str, Any]] = window["findings"]
    return {
        "number": number,
        "start": window["start"],
        "model_version": window["model_version"],
        "n_requests": window["n_requests"],
        "accuracy": window["accuracy_estimates"]["cbpe"],
        "n_alerts": sum(item["severity"] == "alert" for item in findings),
        "messages": [item["message"] for item in findings],
    }


def _rollout(root: Path) -> dict[str, Any]:
    """The rollout's state; where it cannot be read, why."""
    live = root / LIVE_FILE
    path = root / read_yaml(live)["rollout"]["state"] if live.is_file() else None
    if path is None or not path.is_file():
        return {"rollout": None, "rollout_error": "", "evidence": None}
    try:
        state = Rollout.model_validate(read_json(path))
    except ValueError as error:
        return {"rollout": None, "rollout_error": str(error).splitlines()[-1], "evidence": None}
    return {"rollout": state, "rollout_error": "", "evidence": outline(state.evidence)}


def _cost(root: Path) -> dict[str, Any]:
    """US dollars a month, by part; nothing before a run that chose a bundle."""
    try:
        report = make_report(root / LIVE_FILE, load_params(Prices, "", root / "params.yaml"), root)
    except (RatchetError, OSError, KeyError):
        return {"month": {}}
    return {"month": report["usd_per_month"]}


def _json(path: Path, empty: Any) -> Any:
    return read_json(path) if path.is_file() else empty
