"""On a real Prefect server with a worker: an event reaches people, silence too, and drift starts the retraining."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as pq
import pytest

from ratchet.files import read_json, write_json
from ratchet.params import read_yaml
from ratchet.prediction_log.tables import arrow_schema, hour_file
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.mail_server import mail_server
from tests.support.miniature import ROOT
from tests.support.prefect_server import ask, prefect_server, running, until
from tests.support.watched_world import VERSION

pytestmark = [pytest.mark.slow, pytest.mark.service]
SILENCE_S = 20
EMIT = """
import datetime, pathlib
from flows.monitoring import outbox
from flows.monitoring.flow import RAN, RESOURCE, announce
from prefect.events import emit_event
from ratchet.monitoring.findings import Finding
finding, root = Finding("drift", "requests", "alert", "Requests differ.", {"p": 0.001}), pathlib.Path()
now = datetime.datetime.now(datetime.UTC)
outbox.put(root, "sentiment@v1.0.0", [finding], "docs/monitoring.md", now, "reports/monitor/drift.html")
waiting = outbox.read(root)
assert outbox.send(root, announce) == 1, "the server has not confirmed"
announce(waiting)  # sent again, as after a kill: it is the same event
emit_event(RAN, {"prefect.resource.id": RESOURCE}, payload={"message": "ran", "n_alerts": 1})
"""
SET_UP = """
import asyncio, json, sys
from flows.alerts import set_up
print(asyncio.run(set_up(json.loads(sys.argv[1]), float(sys.argv[2]) / 60)))
"""
BOUND_S = 30
"""From the event to the start of the retraining, on a machine that has nothing else to do."""


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address on loopback, and what was posted to it, with the path under "path"; /wrong is not found."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(404 if self.path.endswith("/wrong") else 200)
            self.end_headers()
            if not self.path.endswith("/wrong"):
                got.append({"path": self.path, **json.loads(body)})

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()


def make_watched(root: Path) -> Path:
    """A workspace with the flows, a log of one hour, and that hour's window, which had drifted."""
    for package in ("flows", "ratchet", "pipeline_steps"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml", "dvc.yaml", "params.yaml", "live.yaml"):
        shutil.copy(ROOT / name, root)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / ".dvc/tmp").mkdir(parents=True)
    write_json(root / "data/labels.json", {"batches": []})
    write_json(root / LENGTH_EDGES, {"edges": [12, 25]})
    start, n = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2), 30
    columns: dict[str, list[Any]] = {
        "timestamp": [start + timedelta(seconds=row) for row in range(n)],
        "request_id": [f"r{row}" for row in range(n)],
        "text": [f"a text of another kind, number {row}" for row in range(n)],
        "predicted": ["positive"] * n,
        "confidence": [0.6] * n,
        "model_version": [VERSION] * n,
        "proba": [[0.4, 0.6]] * n,
        "latency_ms": [3.0] * n,
        "status": [200] * n,
        "key_id": [""] * n,
        "arm": ["champion"] * n,
        "experiment": [""] * n,
    }
    schema = arrow_schema("predictions")
    path = hour_file(root / read_yaml(ROOT / "live.yaml")["log"]["folder"], "predictions", start)
    path.parent.mkdir(parents=True)
    pq.write_table(pyarrow.table([pyarrow.array(columns[f.name], f.type) for f in schema], schema), path)
    window = {
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=1)).isoformat(),
        "model_version": VERSION,
        "findings": [{"kind": "drift", "name": "requests"}],
    }
    (root / "reports/monitor").mkdir(parents=True)
    (root / "reports/monitor/windows.jsonl").write_text(json.dumps(window) + "\n")
    return root


def run(command: list[str], root: Path, env: dict[str, str], code: int = 0) -> str:
    done = subprocess.run(command, cwd=root, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_drift_reaches_people_once_by_every_way_and_starts_the_retraining(tmp_path: Path) -> None:
    root = make_watched(tmp_path / "workspace")
    with prefect_server(tmp_path) as server, receiver() as (url, got), mail_server() as (port, mails):
        addresses = {
            "webhook": f"{url}/hook",
            "slack": f"{url}/services/T/B/X",
            "apprise": f"mailto://127.0.0.1:{port}?mode=insecure&from=ratchet@example.org&to=duty@example.org",
        }
        env = {**server, "PYTHONPATH": str(root), "LABEL_STUDIO_URL": ""}
        for command in (
            ["prefect", "work-pool", "create", "workspace", "--type", "process"],
            ["prefect", "work-pool", "set-concurrency-limit", "workspace", "1"],
            ["prefect", "work-pool", "create", "watch", "--type", "process"],
            ["prefect", "deploy", "--all"],
            [sys.executable, "-c", SET_UP, json.dumps(addresses), str(SILENCE_S)],
        ):
            run(command, root, env)
        tried = run([sys.executable, "-m", "ratchet", "alerts", "--test"], root, env)
        assert tried.splitlines() == ["webhook: taken", "slack: taken", "apprise: taken"]
        assert ([item["path"] for item in got], len(mails)) == (["/hook", "/services/T/B/X"], 1)
        worker = ["prefect", "worker", "start", "--pool", "workspace"]
        with (tmp_path / "worker.log").open("w") as log, running(worker, env, log, root):
            api = env["PREFECT_API_URL"]
            until(lambda: ask(f"{api}/work_pools/workspace/workers/filter", {}), 90)
            run([sys.executable, "-c", EMIT], root, env)
            began = datetime.now(UTC)
            runs = until(lambda: _runs(api, {"RUNNING", "COMPLETED", "FAILED"}), 120)
            print(f"from emit to start, bar {BOUND_S} s on a quiet machine: {_steps(api, runs[0]['id'], began)}")
            ended = until(lambda: _runs(api, {"COMPLETED", "FAILED"}), 120)
            until(lambda: any("drift.requests" in item.get("subject", "") for item in got), 60)
            until(lambda: any("drift.requests" in item.get("text", "") for item in got), 60)
            until(lambda: any("drift.requests" in item["subject"] for item in mails), 60)
            silence = until(lambda: [item for item in got if "silent" in item.get("subject", "")], 120)
    assert len(runs) == 1
    assert ended[0]["state"]["name"] == "Waiting", ended[0]["state"]
    assert ended[0]["parameters"]["key"] == "drift.requests"
    # at least once: on a busy machine a way is tried again whose answer came late, and the same words come twice
    [hook] = {item["body"] for item in got if "drift.requests" in item.get("subject", "")}
    [slack] = {item["text"] for item in got if "drift.requests" in item.get("text", "")}
    mail = next(item for item in mails if "drift.requests" in item["subject"])
    assert mail["to"] == "duty@example.org"
    for received in (hook, slack, _text(mail)):
        assert "Requests differ." in received
        assert '"p": 0.001' in received
        assert "What to do" in received
        assert "Runbook: docs/monitoring.md#if-the-alert-is-drift" in received
    assert "What to do" in silence[0]["body"]
    asked = read_json(root / "reports/monitor/retraining.json")
    assert len(asked["ids"]) == 30
    assert asked["model_version"] == VERSION


@pytest.mark.deep
def test_the_retraining_is_started_by_the_command_that_its_deployment_names(tmp_path: Path) -> None:
    """In a folder of the worker's, from which the deployment's own step goes to the workspace."""
    root, seen = make_watched(tmp_path / "workspace"), tmp_path / "seen"
    [drift] = [item for item in read_yaml(root / "prefect.yaml")["deployments"] if item["name"] == "drift"]
    command = f"sh -c 'pwd > {seen}; exec {sys.executable} -m prefect.engine'"
    drift |= {"work_pool": {"name": "workspace", "job_variables": {"command": command}}, "triggers": []}
    (root / "prefect.yaml").write_text(json.dumps({"name": "ratchet", "deployments": [drift]}))  # JSON is YAML
    with prefect_server(tmp_path) as server, (tmp_path / "worker.log").open("w") as log:
        env, api = {**server, "PYTHONPATH": str(root)}, server["PREFECT_API_URL"]
        run(["prefect", "work-pool", "create", "workspace", "--type", "process"], root, env)
        run(["prefect", "deploy", "--all"], root, env)
        deployment = ask(f"{api}/deployments/name/retrain/drift")["id"]
        state = {"parameters": {"key": ""}, "state": {"type": "SCHEDULED"}}
        ask(f"{api}/deployments/{deployment}/create_flow_run", state)
        with running(["prefect", "worker", "start", "--pool", "workspace"], env, log, root):
            [ended] = until(lambda: _runs(api, {"COMPLETED", "FAILED", "CRASHED"}), 180)
    assert (ended["state"]["name"], ended["state"]["message"]) == ("Waiting", "no labels were asked for")
    assert Path(seen.read_text().strip()) != root


@pytest.mark.deep
def test_an_address_that_does_not_take_the_message_is_reported(tmp_path: Path) -> None:
    with prefect_server(tmp_path) as env, receiver() as (url, got):
        wrong = {**env, "PYTHONPATH": str(ROOT)}
        addresses = {"webhook": f"{url}/wrong", "slack": f"{url}/services/wrong"}
        run([sys.executable, "-c", SET_UP, json.dumps(addresses), "60"], ROOT, wrong)
        printed = run([sys.executable, "-m", "ratchet", "alerts", "--test"], ROOT, wrong, 1)
        assert [line.partition(": failed")[0] for line in printed.splitlines()] == ["webhook", "slack"]
    assert got == []


def _steps(api: str, run_id: str, began: datetime) -> str:
    """Seconds after which the run was created by the event, taken by the worker, and running."""
    states = ask(f"{api}/flow_run_states/?flow_run_id={run_id}")
    moments = {state["type"]: datetime.fromisoformat(state["timestamp"].replace("Z", "+00:00")) for state in states}
    return ", ".join(
        f"{kind.lower()} {(moments[kind] - began).total_seconds():.1f} s"
        for kind in ("SCHEDULED", "PENDING", "RUNNING")
        if kind in moments
    )


def _text(mail: EmailMessage) -> str:
    """What people read of a mail."""
    body = mail.get_body(("plain", "html"))
    assert body is not None
    return html.unescape(str(body.get_content()))


def _runs(api: str, states: set[str]) -> list[dict[str, Any]]:
    """The runs of the retraining that have come so far."""
    wanted = {"flows": {"name": {"any_": ["retrain"]}}, "flow_runs": {"state": {"type": {"any_": sorted(states)}}}}
    found: list[dict[str, Any]] = ask(f"{api}/flow_runs/filter", wanted)
    return found
