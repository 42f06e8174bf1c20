"""prefect.yaml deploys as it stands, and the server's scheduler plans the nightly run."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.params import read_yaml
from tests.miniature import ROOT, environment, make_repository

pytestmark = [pytest.mark.slow, pytest.mark.service]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that points to a Prefect server on loopback, running as long as the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url = f"http://127.0.0.1:{port}/api"
    env = {**environment(), "PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": url,
           "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}  # fmt: skip
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        _until(lambda: _ask(f"{url}/health"), 120)
        yield env
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_the_nightly_run_is_planned(tmp_path: Path, server: dict[str, str]) -> None:
    root = make_repository(tmp_path / "repository")
    shutil.copy(ROOT / "prefect.yaml", root)
    for command in (
        ["prefect", "work-pool", "create", "ratchet", "--type", "process"],
        ["prefect", "work-pool", "set-concurrency-limit", "ratchet", "1"],
        ["prefect", "deploy", "--all"],
    ):
        done = subprocess.run(command, cwd=root, env=server, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    url = server["PREFECT_API_URL"]
    deployment = _ask(f"{url}/deployments/name/pipeline/nightly")
    assert [step["prefect.deployments.steps.set_working_directory"] for step in deployment["pull_steps"]] == [
        {"directory": str(root)}
    ]
    planned = _until(lambda: _ask(f"{url}/flow_runs/filter", {"deployments": {"id": {"any_": [deployment["id"]]}}}), 60)
    assert {run["state"]["type"] for run in planned} == {"SCHEDULED"}
    for name in ("label-push/labels", "label-pull/labels"):
        assert _ask(f"{url}/deployments/name/{name}")["parameters"]["n_annotators"] == 2
    assert _ask(f"{url}/deployments/name/monitor/production")["parameters"] == {}
    assert all("T02:00:00" in run["next_scheduled_start_time"] for run in planned)


def test_prefect_yaml_names_no_absolute_path_and_one_run_at_a_time() -> None:
    deployments = read_yaml(ROOT / "prefect.yaml")["deployments"]
    assert {deployment["concurrency_limit"] for deployment in deployments} == {1}
    assert {deployment["work_pool"]["name"] for deployment in deployments} == {"ratchet"}
    assert ": /" not in (ROOT / "prefect.yaml").read_text()


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        raise
    except OSError:
        return None


def _until(ask: Any, seconds: float) -> Any:
    """The first answer that is neither empty nor missing."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, "no answer in time"
        time.sleep(0.2)
    return answer
