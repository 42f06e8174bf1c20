"""The Open Inference Protocol: conformance to its definition, and interoperability with an existing client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.serving.open_inference import BadInputError, pack, read_request, unpack, write_response
from tests.support.live_server import Running, serving, word_bundle

CLIENT = Path(os.environ.get("RATCHET_TRITON_PYTHON", ".venv-triton/bin/python"))
"""Python with tritonclient, which `make triton-env` installs."""
PROBA = np.array([[0.75, 0.25], [0.125, 0.875]])


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_texts_come_back_from_both_forms(texts: list[str]) -> None:
    assert list(unpack(pack(texts))) == texts
    tensor: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    assert read_request(json.dumps({"inputs": [tensor]}).encode(), None, 256)[1] == texts
    packed = pack(texts)
    head = json.dumps({"inputs": [{**tensor, "data": None, "parameters": {"binary_data_size": len(packed)}}]}).encode()
    assert read_request(head + packed, str(len(head)), 256)[1] == texts


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        [{"name": "text", "datatype": "BYTES", "shape": [2], "data": ["one"]}],
        [{"name": "text", "datatype": "FP32", "shape": [1], "data": [1.0]}],
        [{"name": "other", "datatype": "BYTES", "shape": [1], "data": ["a"]}],
        [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [1]}],
        [{"name": "text", "datatype": "BYTES", "shape": [], "data": "a"}],
        [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}],
        [{"name": "text", "datatype": "BYTES", "shape": None, "data": ["a"]}],
        [{"name": "text", "datatype": "BYTES", "shape": ["1"], "data": ["a"]}],
        [{"name": "text", "datatype": "BYTES", "shape": [10**30], "data": ["a"]}],
    ],
)
def test_what_is_no_such_request_is_refused(inputs: list[dict[str, Any]]) -> None:
    with pytest.raises(BadInputError):
        read_request(json.dumps({"inputs": inputs}).encode() + b"\x09\x00\x00\x00abc", None, 256)


@pytest.mark.parametrize(
    "rest",
    [
        {"outputs": "label"},
        {"outputs": [1]},
        {"parameters": [1]},
        {"outputs": [{"name": "label", "parameters": "all"}]},
    ],
)
def test_a_request_whose_outputs_are_none_is_refused_before_it_is_scored(rest: dict[str, Any]) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    with pytest.raises(BadInputError):
        read_request(json.dumps({"inputs": [tensor], **rest}).encode(), None, 256)


def test_a_response_as_json() -> None:
    body, head = write_response({"id": "7"}, "m", "v1", ["negative", "positive"], PROBA)
    assert head is None
    assert json.loads(body) == {
        "id": "7",
        "model_name": "m",
        "model_version": "v1",
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["negative", "positive"]},
            {"name": "proba", "datatype": "FP32", "shape": [2, 2], "data": [0.75, 0.25, 0.125, 0.875]},
        ],
    }


def test_a_response_with_binary_tensors() -> None:
    request = {"outputs": [{"name": "proba", "parameters": {"binary_data": True}}, {"name": "label"}]}
    body, head = write_response(request, "m", "v1", ["negative", "positive"], PROBA)
    outputs = json.loads(body[:head])["outputs"]
    assert outputs[0]["parameters"] == {"binary_data_size": 16}
    assert outputs[1]["data"] == ["negative", "positive"]
    assert np.frombuffer(body[head:], dtype="<f4").reshape(2, 2).tolist() == PROBA.tolist()
    with pytest.raises(BadInputError):
        write_response({"outputs": [{"name": "logits"}]}, "m", "v1", ["negative", "positive"], PROBA)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--bundle", str(word_bundle(folder / "words"))) as running:
        yield running


@pytest.mark.service
def test_the_routes_of_the_protocol(server: Running) -> None:
    assert server.client.get("/v2/health/live").json() == {"live": True}
    assert server.client.get("/v2/models/words/ready").json() == {"name": "words", "ready": True}
    assert server.client.get("/v2/models/other").status_code == 404
    tensor = {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": [["superb"], ["dull"]]}
    response = server.client.post("/v2/models/words/versions/words/infer", json={"inputs": [tensor]}).json()
    assert response["outputs"][0]["data"] == ["positive", "negative"]
    assert server.client.post("/v2/models/words/infer", json={"inputs": []}).status_code == 400


ASK = """
import sys, json
import numpy as np
import tritonclient.http as triton
url, secret, binary = sys.argv[1], sys.argv[2], sys.argv[3] == "binary"
headers = {"Authorization": secret}
client = triton.InferenceServerClient(url)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("words")
assert client.get_model_metadata("words")["inputs"][0]["name"] == "text"
tensor = triton.InferInput("text", [3], "BYTES")
texts = np.array(["superb", "dull", "caf\\u00e9 moving"], dtype=object)
tensor.set_data_from_numpy(texts, binary_data=binary)
outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "proba")]
found = client.infer("words", [tensor], outputs=outputs, headers=headers)
labels = [item.decode() if isinstance(item, bytes) else item for item in found.as_numpy("label")]
default = client.infer("words", [tensor], headers=headers)
assert np.array_equal(default.as_numpy("proba"), found.as_numpy("proba"))
try:
    client.infer("unknown", [tensor], headers=headers)
except triton.InferenceServerException as error:
    message = error.message()
print(json.dumps([labels, found.as_numpy("proba").tolist(), message]))
"""


@pytest.mark.service
@pytest.mark.skipif(not CLIENT.exists(), reason="tritonclient is not installed: make triton-env")
@pytest.mark.parametrize("form", ["binary", "json"])
def test_tritonclient_gets_what_ratchets_own_route_gives(server: Running, form: str) -> None:
    secret = server.client.headers["Authorization"]
    command = [str(CLIENT), "-c", ASK, server.url.removeprefix("http://"), secret, form]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    labels, proba, message = json.loads(done.stdout)
    own = server.client.post("/v1/predict", json={"texts": ["superb", "dull", "café moving"]}).json()["predictions"]
    assert labels == [item["label"] for item in own]
    np.testing.assert_allclose(proba, [list(item["proba"].values()) for item in own], atol=1e-6)
    assert "another name" in message
