"""prefect.yaml deploys as it stands, and the server's scheduler plans the nightly run."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.params import read_yaml
from tests.support.miniature import ROOT, make_repository
from tests.support.prefect_server import ask, prefect_server, until

pytestmark = [pytest.mark.slow, pytest.mark.service]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that points to a Prefect server on loopback, running as long as the test."""
    with prefect_server(tmp_path) as env:
        yield env


def test_the_nightly_run_is_planned(tmp_path: Path, server: dict[str, str]) -> None:
    root = make_repository(tmp_path / "repository")
    shutil.copy(ROOT / "prefect.yaml", root)
    for command in (
        ["prefect", "work-pool", "create", "workspace", "--type", "process"],
        ["prefect", "work-pool", "set-concurrency-limit", "workspace", "1"],
        ["prefect", "work-pool", "create", "watch", "--type", "process"],
        ["prefect", "deploy", "--all"],
    ):
        done = subprocess.run(command, cwd=root, env=server, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    url = server["PREFECT_API_URL"]
    deployment = ask(f"{url}/deployments/name/pipeline/nightly")
    assert [step["prefect.deployments.steps.set_working_directory"] for step in deployment["pull_steps"]] == [
        {"directory": str(root)}
    ]
    planned = until(lambda: ask(f"{url}/flow_runs/filter", {"deployments": {"id": {"any_": [deployment["id"]]}}}), 60)
    assert {run["state"]["type"] for run in planned} == {"SCHEDULED"}
    for name in ("label-push/labels", "label-pull/labels"):
        assert ask(f"{url}/deployments/name/{name}")["parameters"]["n_annotators"] == 2
    for name in ("monitor/production", "compact/log"):
        assert ask(f"{url}/deployments/name/{name}")["parameters"] == {}
    assert all("T02:00:00" in run["next_scheduled_start_time"] for run in planned)


def test_prefect_yaml_names_no_absolute_path_and_one_run_at_a_time() -> None:
    deployments = read_yaml(ROOT / "prefect.yaml")["deployments"]
    assert {deployment["concurrency_limit"] for deployment in deployments} == {1}
    assert ": /" not in (ROOT / "prefect.yaml").read_text()


def test_a_guardrail_and_the_monitor_never_wait_behind_the_nightly_run() -> None:
    """What only watches has a pool of its own, without a limit: it takes no workspace, and writes nothing of DVC's."""
    pools: dict[str, set[str]] = {}
    for deployment in read_yaml(ROOT / "prefect.yaml")["deployments"]:
        pools.setdefault(deployment["work_pool"]["name"], set()).add(deployment["entrypoint"])
    assert pools["watch"] == {
        "flows/rollout/flow.py:check",
        "flows/monitoring/flow.py:monitor",
        "flows/compaction.py:compact",
    }
    assert pools.keys() == {"watch", "workspace"}
    for entrypoint in pools["watch"] | pools["workspace"]:
        path, _, name = entrypoint.partition(":")
        tree = ast.parse((ROOT / path).read_text())
        [body] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        takes = "workspace." in ast.unparse(body) or "lock_workspace" in ast.unparse(body)
        assert takes == (entrypoint in pools["workspace"]), entrypoint
