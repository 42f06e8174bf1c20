"""The Prometheus rules alert when they shall, and rules and dashboard name figures that somebody writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows import monitoring
from tests.miniature import ROOT
from tests.production import START

RULES, DASHBOARD = ROOT / "ops/prometheus/ratchet.yml", ROOT / "ops/grafana/ratchet.json"
NAME = re.compile(r"\bratchet_[a-z0-9_]+")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_the_rules_alert_when_they_shall() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "ratchet_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_figure_of_the_rules_and_the_dashboard_is_written_by_somebody(tmp_path: Path) -> None:
    latest = {"n_requests": 1, "drift": {"p": 0.5, "again": False}, "accuracy_estimates": {"cbpe": {"value": 0.8}},
              "reference_accuracy": 0.8}  # fmt: skip
    monitoring.write_metrics(tmp_path, latest, 0, START)
    written = set(NAME.findall((tmp_path / monitoring.METRICS).read_text()))
    source = "\n".join(path.read_text() for path in (ROOT / "ratchet/live").glob("*.py"))
    served = set(NAME.findall(source))
    expressions = [
        target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]
    ]
    expressions += re.findall(r"expr: (.*)", RULES.read_text())
    named = {re.sub(r"_(total|bucket)$", "", name) for text in expressions for name in NAME.findall(text)}
    unknown = {name for name in named if name not in written | served}
    assert {name for name in unknown if name.startswith(("ratchet_monitor", "ratchet_drift", "ratchet_acc"))} == set()
    if (ROOT / "ratchet/live/metrics.py").is_file():
        assert unknown == set()
