"""The server against its own OpenAPI document: schemathesis makes requests, right and wrong ones, for every route."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratchet.serving.problems import PROBLEMS, problem_text
from tests.support.live_server import Running, serving, word_bundle

N_EXAMPLES = 3
"""Requests of each kind at a route; `make fuzz-serving` makes many more."""
DOCS = Path(__file__).parents[2] / "docs" / "serving-problems.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--bundle", str(word_bundle(folder / "words")), max_texts=8) as running:
        yield running


@pytest.mark.service
@pytest.mark.slow
def test_every_route_answers_as_its_document_says(server: Running, tmp_path: Path) -> None:
    """No failure of the server, no status, type or body that is not declared, no access without a key."""
    from benchmarks.fuzz_serving import conformance_command

    command = conformance_command(server.url, server.client.headers["Authorization"], N_EXAMPLES, seed=7)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Coverage" in done.stdout


@pytest.mark.service
def test_the_document_has_every_route_and_its_limits(server: Running) -> None:
    document: dict[str, Any] = server.client.get("/openapi.json").json()
    paths = document["paths"]
    for path in ("/v1/predict", "/v1/models/{model}/predict", "/v1/explain", "/v1/feedback", "/v2/models/{name}/infer"):
        assert set(paths[path]) == {"post"}
        assert {"401", "413", "415", "422", "429", "503"} <= set(paths[path]["post"]["responses"])
    assert {"/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/model", "/problems/{code}"} <= set(paths)
    schemas = document["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["texts"]["maxItems"] == 8
    assert schemas["FeedbackRequest"]["properties"]["label"]["enum"] == ["negative", "positive"]
    for path, operations in paths.items():
        for method in operations:
            if "{" not in path and method == "get" and "security" not in operations[method]:
                assert httpx.get(f"{server.url}{path}").status_code == 200, path


def test_every_problem_is_documented() -> None:
    assert "\n".join(problem_text(code) for code in PROBLEMS) in DOCS.read_text()
