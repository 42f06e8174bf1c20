"""The Prometheus rules alert when they shall, and rules and dashboard name figures that somebody writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.monitoring import steps as monitoring
from ratchet.params import load_params, read_yaml
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter
from ratchet.serving.access import Access
from ratchet.serving.line_writer import LineWriter, QueuedLines
from ratchet.serving.served_model import ModelSource, Passes, ServedModel
from ratchet.serving.server import register_gauges
from ratchet.serving.service import Service
from ratchet.serving.settings import ServeParams
from tests.support.linear_words import LinearWords
from tests.support.miniature import ROOT
from tests.support.production import START

RULES, DASHBOARD = ROOT / "ops/prometheus/ratchet.yml", ROOT / "ops/grafana/ratchet.json"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_the_rules_alert_when_they_shall() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "ratchet_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_figure_of_the_rules_and_the_dashboard_is_exported_by_somebody(tmp_path: Path) -> None:
    latest = {
        "n_requests": 1,
        "drift": {"p": 0.5, "again": False},
        "accuracy_estimates": {"cbpe": {"value": 0.8}},
        "reference_accuracy": 0.8,
    }
    monitoring.write_metrics(tmp_path, latest, 0, START)
    exported = {"up"} | set(re.findall(r"^[a-z_]+", (tmp_path / monitoring.METRICS).read_text(), re.MULTILINE))
    exported |= _served(tmp_path)
    dashboard = json.loads(DASHBOARD.read_text())
    asked = {f"panel {panel['title']}": target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
    asked |= {rule["alert"]: rule["expr"] for group in read_yaml(RULES)["groups"] for rule in group["rules"]}
    assert len(asked) > 10
    unknown = {where: names_of(query) - exported for where, query in asked.items() if names_of(query) - exported}
    assert unknown == {}


def test_every_panel_has_its_place_its_source_and_its_unit() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        covered = {(at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])}
        assert not covered & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= covered
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('sum by (status) (rate(a_total{status=~"5.."}[5m])) / b > 0.1 or absent(up{job="x"})', {"a_total", "b", "up"}),
        ("histogram_quantile(0.95, sum by (le) (rate(c_bucket[$__rate_interval])))", {"c_bucket"}),
        ("d unless on (job) e offset 5m", {"d", "e"}),
    ],
)
def test_figures_are_told_from_functions_labels_and_words(query: str, names: set[str]) -> None:
    assert names_of(query) == names


def names_of(query: str) -> set[str]:
    """The figures that a PromQL expression asks for."""
    query = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"", "", query)  # matchers, ranges, texts
    query = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", query)  # labels
    words = re.findall(r"(?<![\w.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", query)
    return {*words} - {"and", "or", "unless", "offset", "bool", "group_left", "group_right"}


def _served(folder: Path) -> set[str]:
    """Names of the samples of a server's /metrics, also of those that no request has filled yet."""
    params = load_params(ServeParams, "serve", ROOT / "live.yaml")
    engine = open_database(f"sqlite:///{folder}/log.db")
    writer = LogWriter(engine, 10, 20, 100)
    source = ModelSource(folder / "champion.json", None, None, Passes(1, 8))
    service = Service(ServedModel(LinearWords(), "v1", "", 0.1), source, params, writer)
    access = Access(folder / "keys.json", False)
    messages = LineWriter(sys.stderr.fileno())
    register_gauges(service.metrics, {service.name: service}, access, messages, QueuedLines(messages))
    text = service.metrics.text().decode()
    writer.close(5)
    engine.dispose()
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    return {name.removesuffix("_total") + end for name, kind in kinds for end in ends[kind]}
