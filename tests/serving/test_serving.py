"""The server over real HTTP: answers, limits, refusals, its log, another champion, its end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ratchet.compress.compilers import Compilation
from ratchet.data.cleaning import REPAIRS
from ratchet.engines.compiling import export
from ratchet.engines.kinds.cascade import write_cascade
from ratchet.engines.loading import load
from ratchet.experiments.assignment import Experiment, assign, write_experiment
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.prediction_log.tables import read_log
from ratchet.serving.schemas import PredictResponse
from tests.support.bundles import static_bundle, torch_bundle
from tests.support.live_server import Running, serving, word_bundle
from tests.support.tiny import BLAME, PRAISE, reviews

pytestmark = pytest.mark.service
JSON = {"content-type": "application/json"}
PROBLEM = {"type", "title", "status", "detail", "code", "request_id"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    bundle = word_bundle(folder / "words")
    limits: dict[str, Any] = {"max_texts": 8, "max_text_characters": 500, "max_body_bytes": 5000}
    with serving(folder, "--bundle", str(bundle), **limits) as running:
        yield running


def test_one_text_and_many_are_answered_alike(server: Running) -> None:
    texts = ["superb and moving", "a dull film", "nothing known"]
    many = server.client.post("/v1/predict", json={"texts": texts}).raise_for_status().json()
    ones = [server.client.post("/v1/predict", json={"text": text}).json()["predictions"][0] for text in texts]
    assert many["model_version"] == "words"
    assert [item["label"] for item in many["predictions"][:2]] == ["positive", "negative"]
    assert [item["proba"] for item in many["predictions"]] == [item["proba"] for item in ones]
    for item in many["predictions"]:
        assert sum(item["proba"].values()) == pytest.approx(1)
        assert item["confidence"] == max(item["proba"].values()) == item["proba"][item["label"]]


def test_answers_are_what_the_schema_says_though_the_framework_does_not_make_them(server: Running) -> None:
    answer = server.client.post("/v1/predict", json={"texts": ["superb", "dull"], "unit": "ann"})
    assert answer.headers["content-type"] == "application/json"
    PredictResponse.model_validate_json(answer.content, strict=True)
    declared = server.client.get("/openapi.json").json()["paths"]["/v1/predict"]["post"]
    assert declared["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictRequest")
    assert declared["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/PredictResponse")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"text": 1}', b'{"text": "\xff"}', b'{"text": "a", "text": "b"'])
def test_a_body_that_is_no_request_is_named_as_such(server: Running, body: bytes) -> None:
    answer = server.client.post("/v1/predict", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v1/feedback", "/v2/models/words/infer"])
def test_a_body_of_another_type_is_refused_as_such_and_not_guessed_at(server: Running, path: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"):
        answer = server.client.post(path, content=b'{"text": "superb"}', headers={"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "wrong_type"), kind
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.ratchet+json"):
        assert server.client.post(path, content=b"{}", headers={"content-type": kind}).status_code in (400, 422), kind
    status = server.client.post(path, content=b'{"text": "superb"}').status_code
    assert status == (400 if path.startswith("/v2") else 415)
    no_body = server.client.post("/v1/admin/reload", headers={"content-type": "text/plain"})
    assert no_body.status_code in (200, 403)


def test_predictions_and_feedback_meet_in_the_log(server: Running) -> None:
    text = "superb, write to jo@example.org"
    prediction = server.client.post("/v1/predict", json={"text": text}).json()["predictions"][0]
    thumb = {"request_id": prediction["request_id"], "kind": "thumb", "value": 0}
    assert server.client.post("/v1/feedback", json=thumb).json() == {"accepted": True}
    correction = {"request_id": prediction["request_id"], "kind": "correction", "label": "negative"}
    assert server.client.post("/v1/feedback", json=correction).status_code == 202
    _wait(lambda: read_log(server.log_url, table="feedback").num_rows == 2)
    [row] = [row for row in read_log(server.log_url).to_pylist() if row["request_id"] == prediction["request_id"]]
    assert row["text"] == "superb, write to [EMAIL]"
    assert (row["predicted"], row["status"], row["arm"], row["experiment"]) == ("positive", 200, "champion", "")
    assert row["proba"] == pytest.approx([prediction["proba"]["negative"], prediction["proba"]["positive"]])
    feedback = read_log(server.log_url, table="feedback").to_pylist()
    assert [(row["kind"], row["value"], row["label"]) for row in feedback] == [
        ("thumb", 0.0, None),
        ("correction", None, "negative"),
    ]


def test_an_explanation_accounts_for_the_prediction(server: Running) -> None:
    text = "a superb film with dull scenes"
    explanation = server.client.post("/v1/explain", json={"text": text}).raise_for_status().json()
    assert [word["word"] for word in explanation["words"]] == text.split()
    assert all(text[word["start"] : word["end"]] == word["word"] for word in explanation["words"])
    explained = explanation["base"] + sum(word["value"] for word in explanation["words"])
    assert explained == pytest.approx(explanation["confidence"], abs=1e-6)


def test_what_is_served_is_cleaned_as_its_training_texts_were(tmp_path: Path) -> None:
    cleaning = {"repairs": list(REPAIRS), "mask": True, "regions": ["US"]}
    bundle = word_bundle(tmp_path / "words", cleaning=cleaning)
    raw, cleaned = "<b>superb</b>&amp;<br />dull jo@example.org", "superb & dull [EMAIL]"
    with serving(tmp_path, "--bundle", str(bundle)) as running:
        both = running.client.post("/v1/predict", json={"texts": [raw, cleaned]}).raise_for_status().json()
        assert both["predictions"][0]["proba"] == both["predictions"][1]["proba"]
        told = running.client.post("/v1/explain", json={"text": raw}).raise_for_status().json()
        assert (told["text"], [word["word"] for word in told["words"]]) == (cleaned, ["superb", "dull", "EMAIL"])
        _wait(lambda: read_log(running.log_url).num_rows == 2)
        assert read_log(running.log_url)["text"].to_pylist() == [cleaned, cleaned]


def test_an_emoji_is_a_word_to_explain(server: Running) -> None:
    told = server.client.post("/v1/explain", json={"text": "🔥🔥"}).raise_for_status().json()
    assert [word["word"] for word in told["words"]] == ["🔥", "🔥"]


@pytest.mark.parametrize("text", ["?!", "   ", "\0"])
def test_a_text_without_words_has_a_prediction_and_no_words_to_explain_it(server: Running, text: str) -> None:
    explanation = server.client.post("/v1/explain", json={"text": text}).raise_for_status().json()
    prediction = server.client.post("/v1/predict", json={"text": text}).json()["predictions"][0]
    assert explanation["words"] == []
    assert explanation["base"] == explanation["confidence"] == prediction["confidence"]
    assert explanation["label"] == prediction["label"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/predict", b'{"text": "half \\ud83d"}', 422),
        ("/v1/predict", b'{"texts": ["superb", "half \\ud83d"]}', 422),
        ("/v1/predict", b'{"text": "superb", "unit": "\\ud83d"}', 422),
        ("/v1/explain", b'{"text": "half \\ud83d"}', 422),
        ("/v1/explain", b'{"text": "superb", "\\ud83d": 1}', 422),
        ("/v1/feedback", b'{"request_id": "r", "kind": "correction", "label": "\\ud83d"}', 422),
        ("/v1/feedback", b'{"request_id": "r", "kind": "\\ud83d"}', 422),
        (
            "/v2/models/words/infer",
            b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["\\ud83d"]}]}',
            400,
        ),
        ("/v2/models/words/infer", b'{"inputs":[{"name":"\\ud83d","datatype":"BYTES","shape":[1],"data":["a"]}]}', 400),
        (
            "/v2/models/words/infer",
            b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["a"]}],"outputs":[{"name":"\\ud83d"}]}',
            400,
        ),
        ("/v2/models/%ED%A0%BD/infer", b'{"inputs": []}', 404),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(
    server: Running, path: str, body: bytes, status: int
) -> None:
    """Python's own JSON reads it, nothing else takes it: no tokenizer, no database, no answer in UTF-8."""
    answer = server.client.post(path, content=body, headers=JSON)
    assert (answer.status_code, {*answer.json()} - {"errors"}) == (status, PROBLEM)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/predict", {}, 422),
        ("/v1/predict", {"text": "a", "texts": ["b"]}, 422),
        ("/v1/predict", {"texts": []}, 422),
        ("/v1/predict", {"text": "a", "more": 1}, 422),
        ("/v1/predict", {"texts": ["a"] * 9}, 413),
        ("/v1/predict", {"text": "a" * 501}, 413),
        ("/v1/predict", {"text": "a" * 6000}, 413),
        ("/v1/feedback", {"request_id": "r", "kind": "thumb", "label": "positive"}, 422),
        ("/v1/feedback", {"request_id": "r", "kind": "thumb", "value": 2}, 422),
        ("/v1/feedback", {"request_id": "r", "kind": "correction", "label": "unknown"}, 422),
        ("/v1/feedback", {"request_id": "../etc", "kind": "thumb", "value": 1}, 422),
        ("/v1/feedback", {"request_id": "0" * 32, "kind": "thumb", "value": 1}, 403),
        ("/v1/nothing", {}, 404),
    ],
)
def test_bad_requests_get_one_clear_answer(server: Running, path: str, body: Any, status: int) -> None:
    answer = server.client.post(path, json=body)
    assert answer.status_code == status
    assert {*answer.json()} - {"errors"} == PROBLEM
    assert answer.headers["content-type"] == "application/problem+json"
    assert "6000" not in answer.text


def test_a_body_without_a_length_is_limited_too(server: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    assert server.client.post("/v1/predict", content=endless(), headers=JSON).status_code == 413


def test_scopes_are_kept_apart(server: Running) -> None:
    asked = {
        "predict": ("/v1/predict", {"text": "a"}),
        "explain": ("/v1/explain", {"text": "dull"}),
        "feedback": ("/v1/feedback", {"request_id": "r", "kind": "thumb", "value": 1}),
        "admin": ("/v1/admin/reload", {}),
    }
    headers = {scope: server.key(scope) for scope in asked}  # type: ignore[arg-type]
    time.sleep(1.1)  # the server looks at the file once a second
    for scope, (path, body) in asked.items():
        for other, header in headers.items():
            answer = httpx.post(f"{server.url}{path}", json=body, headers=header, timeout=60)
            lacks = "lacks the scope" in answer.text
            assert lacks == (scope != other), (scope, other, answer.text)
            assert answer.status_code in (200, 403)
    assert httpx.post(f"{server.url}/v1/predict", json={"text": "a"}).status_code == 401
    wrong = {"X-API-Key": headers["predict"]["Authorization"][7:-1] + "?"}
    assert httpx.post(f"{server.url}/v1/predict", json={"text": "a"}, headers=wrong).status_code == 401


def test_the_access_log_says_who_and_not_what(server: Running) -> None:
    sent = server.client.post("/v1/predict", json={"text": "superb secret"}, headers={"X-Request-Id": "mine-1"})
    assert sent.headers["x-request-id"] == "mine-1"
    log = server.folder / "access.jsonl"
    _wait(lambda: "mine-1" in log.read_text())  # the answer goes out first
    lines = log.read_text().splitlines()
    [line] = [line for line in map(json.loads, lines) if line["request_id"] == "mine-1"]
    assert line["status"] == 200
    assert line["n_texts"] == 1
    assert len(line["key_id"]) == 12
    assert "secret" not in "".join(lines)
    bad = server.client.post("/v1/predict", json={"text": "x"}, headers={"X-Request-Id": "a b"})
    assert bad.headers["x-request-id"] != "a b"


def test_metrics_are_prometheus_text_and_count(server: Running) -> None:
    def count(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(server.client.get("/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    before = count("ratchet_predictions_total", label="positive")
    server.client.post("/v1/predict", json={"texts": ["superb", "moving", "dull"]})
    assert count("ratchet_predictions_total", label="positive") == before + 2
    assert count("ratchet_requests_total", route="/v1/predict", status="200") > 0
    assert count("ratchet_model_info", version="words", arm="champion") == 1
    assert count("ratchet_log_rows_dropped") == 0


def test_health_readiness_and_model(server: Running) -> None:
    assert server.client.get("/healthz").json() == {"status": "alive"}
    assert server.client.get("/readyz").json() == {"ready": True, "model_version": "words", "troubles": {}}
    model = server.client.get("/v1/model").json()
    assert model["labels"] == ["negative", "positive"]
    assert model["manifest_sha256"] == sha256_file(server.folder / "words" / MANIFEST)


def _point(folder: Path, bundle: Path) -> None:
    write_json(
        folder / "champion.json",
        {
            "bundle": str(bundle),
            "manifest_sha256": sha256_file(bundle / MANIFEST),
            "version": f"sentiment@{bundle.name}",
        },
    )


def test_another_champion_takes_over_without_a_failed_request_and_the_end_loses_none(tmp_path: Path) -> None:
    """The second champion predicts the opposite of the first, so that every answer identifies its model."""
    first = word_bundle(tmp_path / "v1")
    second = word_bundle(tmp_path / "v2", praise=BLAME, blame=PRAISE)
    _point(tmp_path, first)
    answers: list[httpx.Response] = []
    stop = threading.Event()
    with serving(tmp_path) as server:

        def ask() -> None:
            with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=60) as client:
                while not stop.is_set():
                    answers.append(client.post("/v1/predict", json={"texts": ["superb", "dull"]}))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        _wait(lambda: len(answers) > 20)
        broken = tmp_path / "v3"
        word_bundle(broken, "broken")
        (broken / "weights.safetensors").write_bytes(b"not what the manifest says")
        _point(tmp_path, broken)
        assert server.client.post("/v1/admin/reload").status_code == 409
        _point(tmp_path, second)
        _wait(lambda: server.client.get("/v1/model").json()["version"] == "sentiment@v2")
        n_before = len(answers)
        _wait(lambda: len(answers) > n_before + 20)
        stop.set()
        for thread in threads:
            thread.join()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert {answer.status_code for answer in answers} == {200}
    given = {(body["model_version"], body["predictions"][0]["label"]) for body in (answer.json() for answer in answers)}
    assert given == {("sentiment@v1", "positive"), ("sentiment@v2", "negative")}
    assert read_log(f"sqlite:///{tmp_path}/log.db").num_rows == 2 * len(answers)


def test_an_experiment_shares_units_out_and_a_shadow_is_not_seen(tmp_path: Path) -> None:
    _point(tmp_path, word_bundle(tmp_path / "v1"))
    other = word_bundle(tmp_path / "v2", "other", praise=BLAME, blame=PRAISE)
    pinned = {"bundle": str(other), "manifest_sha256": sha256_file(other / MANIFEST)}
    split = Experiment(name="opposite", step="half", mode="split", share=0.5, salt="salt of the test", **pinned)
    with serving(tmp_path) as server:
        write_experiment(tmp_path / "experiment.json", split)
        assert server.client.post("/v1/admin/reload").json()["challenger"] == "other"
        for unit in [f"user-{n}" for n in range(20)] * 2:
            response = server.client.post("/v1/predict", json={"text": "superb", "unit": unit}).json()
            expected = ("other", "negative") if assign(unit, split) == "challenger" else ("sentiment@v1", "positive")
            assert (response["model_version"], response["predictions"][0]["label"]) == expected
        shadow = split.model_copy(update={"mode": "shadow", "share": 0.0})
        write_experiment(tmp_path / "experiment.json", shadow)
        server.client.post("/v1/admin/reload")
        response = server.client.post("/v1/predict", json={"text": "superb"}).json()
        assert response["model_version"] == "sentiment@v1"
        request_id = response["predictions"][0]["request_id"]

        def pair() -> list[dict[str, Any]]:
            rows = read_log(server.log_url).to_pylist()
            return sorted((row for row in rows if row["request_id"] == request_id), key=lambda row: row["arm"])

        _wait(lambda: len(pair()) == 2)
        assert [(row["arm"], row["predicted"]) for row in pair()] == [("champion", "positive"), ("shadow", "negative")]
        assert len({row["experiment"] for row in pair()}) == 1
        assert pair()[0]["experiment"].startswith("opposite:half#")
        arms = [row["arm"] for row in read_log(server.log_url).to_pylist()[:40]]
        assert 0 < arms.count("challenger") < 40


_SERVE_ONCE = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from ratchet.prediction_log import database as log_database, writer as log_writer
from ratchet.serving import app, served_model, service, settings
from ratchet.serving.access import Access
from ratchet.params import load_params

folder = Path(sys.argv[1])
params = load_params(settings.ServeParams, "serve", settings.LIVE_FILE)
source = served_model.ModelSource(folder / "champion.json", folder / "compiled", None, served_model.Passes(1, 8))
engine = log_database.open_database(f"sqlite:///{folder}/log.db")
writer = log_writer.LogWriter(engine, 10, 20, 100, log_writer.to_stored_row("mask", ["US"]))
served = service.Service(source.load(), source, params, writer)
with TestClient(app.make_app(served, Access(folder / "none", False))) as client:
    print(client.post("/v1/predict", json={"texts": ["a film", "a dull film"]}).raise_for_status().text)
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("onnxruntime", "torch", "transformers")))
"""


@pytest.mark.slow
def test_static_student_cascade_and_transformer_are_served_by_one_code(tmp_path: Path) -> None:
    second = tmp_path / "transformer"
    export(torch_bundle(tmp_path, n_layers=1), second, "onnx-int8", Compilation([[1, 2]]), "0" * 64)
    first = static_bundle(tmp_path / "static", second)
    texts = reviews(40, 9)["text"].tolist()
    threshold = float(np.median(load(first, 1).predict_proba(texts).max(axis=1)))
    both = tmp_path / "both"
    write_cascade(both, "both", first, second, threshold, "0" * 64)
    for bundle in (first, second, both):
        predictor = load(bundle, 1)
        with serving(tmp_path, "--bundle", str(bundle)) as running:
            answer = running.client.post("/v1/predict", json={"texts": texts}).raise_for_status().json()
            probas = [list(item["proba"].values()) for item in answer["predictions"]]
            np.testing.assert_allclose(probas, predictor.predict_proba(texts), atol=0.02)
            told = running.client.post("/v1/explain", json={"text": texts[0]}).raise_for_status().json()
            assert told["words"]


@pytest.mark.slow
def test_a_compiled_bundle_is_served_without_pytorch_in_the_process(tmp_path: Path) -> None:
    export(torch_bundle(tmp_path, n_layers=1), tmp_path / "compiled", "onnx-int8", Compilation([[1, 2]]), "0" * 64)
    command = [sys.executable, "-c", _SERVE_ONCE, str(tmp_path)]
    answer, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(json.loads(answer)["predictions"]) == 2
    assert "'onnxruntime'" in modules
    assert "torch" not in modules
    assert "transformers" not in modules


def test_a_server_whose_output_nobody_reads_answers_on(tmp_path: Path) -> None:
    """Its access log goes to a pipe that is full after some hundred lines, its messages to another one."""
    bundle = word_bundle(tmp_path / "words")
    with serving(tmp_path, "--bundle", str(bundle), stdout=subprocess.PIPE, access_log="-") as server:
        address = httpx.URL(server.url)
        for _ in range(800):
            assert server.client.get("/health", timeout=5).status_code == 200
        for _ in range(2000):  # each is a warning
            with socket.create_connection((address.host, address.port or 0), timeout=5) as connection:
                connection.sendall(b"no HTTP\r\n\r\n")
                connection.recv(100)
        metrics = server.client.get("/metrics", timeout=5).text
        assert _value(metrics, "ratchet_access_log_lines_dropped") > 100
        assert _value(metrics, "ratchet_messages_dropped") > 100
        server.process.send_signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=60)
        assert server.process.returncode == 0
    assert {json.loads(line)["status"] for line in out.splitlines()} == {200}


def _value(metrics: str, name: str) -> float:
    [family] = [family for family in text_string_to_metric_families(metrics) if family.name == name]
    return float(family.samples[0].value)


def test_sigterm_says_not_ready_first(tmp_path: Path) -> None:
    bundle = word_bundle(tmp_path / "words")
    with serving(tmp_path, "--bundle", str(bundle), drain_s=1.5) as server:
        server.process.send_signal(signal.SIGTERM)
        _wait(lambda: server.client.get("/ready").status_code == 503)
        assert server.client.post("/v1/predict", json={"text": "superb"}).status_code == 200
        assert server.process.wait(60) == 0


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
