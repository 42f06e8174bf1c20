"""Clients that mean harm, or are broken, beside good ones: each harms itself alone."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.prediction_log.tables import read_log
from tests.support.live_server import Running, serving, word_bundle
from tests.support.tiny import BLAME, PRAISE

pytestmark = pytest.mark.service
LIMITS: dict[str, Any] = {
    "max_texts": 8,
    "max_text_characters": 500,
    "max_body_bytes": 5000,
    "max_header_bytes": 4096,
    "max_connections": 20,
    "header_timeout_s": 1.0,
    "body_timeout_s": 1.0,
    "write_timeout_s": 1.0,
}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, "--bundle", str(word_bundle(folder / "words")), **LIMITS) as running:
        yield running


class Raw:
    """A connection that sends bytes as they are."""

    def __init__(self, server: Running, receive_buffer: int = 0) -> None:
        url = httpx.URL(server.url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect((url.host, url.port or 0))

    def send(self, *parts: bytes) -> None:
        """Send bytes, as far as the server takes them."""
        for part in parts:
            self.socket.sendall(part)

    def answer(self) -> bytes:
        """All that comes until the server closes."""
        parts = []
        try:
            while part := self.socket.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _head(server: Running, path: str, length: int, *more: bytes) -> bytes:
    key = server.client.headers["Authorization"].encode()
    lines = [b"POST %s HTTP/1.1" % path.encode(), b"host: x", b"authorization: " + key]
    lines += [b"content-type: application/json", b"content-length: %d" % length, *more, b"", b""]
    return b"\r\n".join(lines)


def _works(server: Running) -> None:
    answer = server.client.post("/v1/predict", json={"text": "superb"})
    assert answer.json()["predictions"][0]["label"] == "positive"


# order of checks


@pytest.mark.parametrize(
    "path", ["/v1/predict", "/v1/explain", "/v1/feedback", "/v1/admin/reload", "/v2/models/m/infer"]
)
def test_without_a_key_nothing_of_the_body_is_read(server: Running, path: str) -> None:
    """Its head is enough: the answer comes though no byte of the body does."""
    with Raw(server) as raw:
        raw.send(_head(server, path, 4000).replace(b"authorization: Bearer ", b"authorization: Bearer no"))
        raw.socket.settimeout(20)
        assert b"401" in raw.socket.recv(65536).split(b"\r\n")[0]


def test_a_hundred_thousand_unknown_fields_get_one_error(server: Running) -> None:
    body = json.dumps({f"field{n}": n for n in range(100)}).encode()
    answer = server.client.post("/v1/feedback", content=body, headers=JSON)
    assert answer.status_code == 422
    assert len(answer.content) < 500
    assert "field1" not in answer.text
    large = json.dumps({f"field{n}": n for n in range(100_000)}).encode()
    for key, status in (({}, 401), (dict(server.client.headers), 413)):
        answer = httpx.post(f"{server.url}/v1/feedback", content=large, headers={**JSON, **key}, timeout=60)
        assert answer.status_code == status


@pytest.mark.parametrize(
    "body", [{"texts": [1] * 8}, {"text": "superb", "unit": "x" * 300}, {"secret": 1}, {"text": {"secret": 1}}]
)
def test_five_errors_are_named_at_most_and_nothing_is_repeated(server: Running, body: dict[str, Any]) -> None:
    answer = server.client.post("/v1/predict", json=body)
    assert answer.status_code == 422
    assert 1 <= len(answer.json()["errors"]) <= 5
    assert "secret" not in answer.text
    assert "xxx" not in answer.text


def test_many_outputs_and_dimensions_make_no_large_answer(server: Running) -> None:
    tensor: dict[str, Any] = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["superb"]}
    for body in (
        {"inputs": [tensor], "outputs": [{"name": "label"}] * 100},
        {"inputs": [{**tensor, "shape": [1] * 100}]},
        {"inputs": [{**tensor, "shape": [10**18] * 9}]},
    ):
        answer = server.client.post("/v2/models/words/infer", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    many = {"inputs": [{**tensor, "data": ["a"] * 9, "shape": [9]}]}
    assert server.client.post("/v2/models/words/infer", json=many).status_code == 413


# gzip


def test_a_gzip_body_is_read_within_the_limit_of_what_comes_out(server: Running) -> None:
    def send(content: bytes, encoding: str = "gzip") -> httpx.Response:
        headers = {**JSON, "content-encoding": encoding}
        return server.client.post("/v1/predict", content=content, headers=headers)

    packed = gzip.compress(b'{"text": "superb"}')
    assert send(packed).json()["predictions"][0]["label"] == "positive"
    assert send(gzip.compress(b'{"text": "' + b"a" * 3_000_000 + b'"}')).status_code == 413
    for broken in (packed[:-3], packed + b"more", b"no gzip", packed + packed):
        assert (send(broken).status_code, send(broken).json()["code"]) == (400, "malformed")
    assert send(packed, "br").status_code == 415


# slow, silent and endless clients


def test_a_stalled_head_and_a_stalled_body_are_ended(server: Running) -> None:
    with Raw(server) as head, Raw(server) as body, Raw(server) as silent:
        head.send(b"POST /v1/predict HT")
        body.send(_head(server, "/v1/predict", 100), b'{"text":')
        assert b"408" in head.answer().split(b"\r\n")[0]
        body.socket.settimeout(20)
        assert b"408" in body.socket.recv(65536).split(b"\r\n")[0]
        assert silent.answer() == b""
    _works(server)


def test_a_body_that_is_refused_may_not_go_on_for_ever(server: Running) -> None:
    with Raw(server) as raw:
        raw.send(_head(server, "/v1/predict", 10**9))
        raw.socket.settimeout(20)
        assert b"413" in raw.socket.recv(65536).split(b"\r\n")[0]
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            raw.send(*[b"x" * 10_000] * 1000)


@pytest.mark.parametrize("endless", [b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000, b"GET /" + b"a" * 20_000])
def test_a_head_that_does_not_end_is_refused(server: Running, endless: bytes) -> None:
    with Raw(server) as raw:
        for at in range(0, len(endless), 1000):
            try:
                raw.send(endless[at : at + 1000])
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.002)
        assert raw.answer().split(b"\r\n")[0] in (b"HTTP/1.1 431 Request Header Fields Too Large", b"")
    _works(server)


def test_whoever_holds_connections_keeps_nobody_out(tmp_path: Path) -> None:
    """Five times as many as there may be; the good client's own connection is never cut."""
    limits = {**LIMITS, "max_connections": 8, "header_timeout_s": 60.0}
    with serving(tmp_path, "--bundle", str(word_bundle(tmp_path / "words")), **limits) as server, ExitStack() as stack:
        for _ in range(4):
            for _ in range(10):
                stack.enter_context(Raw(server)).send(b"GET /")
            assert server.client.post("/v1/predict", json={"text": "dull"}).status_code == 200
            with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=60) as other:
                assert other.post("/v1/predict", json={"text": "dull"}).status_code == 200
        assert _count(server, "ratchet_connections_closed_total", reason="crowded") > 20


def test_an_idle_connection_outlives_a_balancers(server: Running) -> None:
    """A balancer keeps its own for 60 s: a server that closes earlier answers some requests with a reset."""
    with Raw(server) as raw:
        for pause_s in (0.0, 6.5):  # uvicorn's own is five
            time.sleep(pause_s)
            raw.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):  # head and body may come apart
                part = raw.socket.recv(65536)
                assert part, answer
                answer += part
            assert b"200 OK" in answer


ASKED = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"


def test_requests_that_wait_on_a_connection_are_few(server: Running) -> None:
    with Raw(server, receive_buffer=4096) as raw:
        with suppress(OSError):  # it may be closed while it still sends
            raw.send(ASKED * 1000)
        _wait(lambda: _count(server, "ratchet_connections_closed_total", reason="pipelined") == 1)
    _works(server)


@pytest.mark.parametrize("junk", [b"\0" * 100, b"\r\n" * 50, b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_what_is_no_http_is_answered_or_closed(server: Running, junk: bytes) -> None:
    with Raw(server) as raw:
        raw.send(junk)
        raw.socket.shutdown(socket.SHUT_WR)
        first = raw.answer().split(b"\r\n")[0]
        assert first in (b"", b"HTTP/1.1 400 Bad Request")
    _works(server)


def test_one_client_of_half_pairs_fails_nobody_else(server: Running) -> None:
    body = b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["half \\ud83d"]}]}'
    stop, bad = threading.Event(), []

    def harm() -> None:
        with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=60) as client:
            while not stop.is_set():
                bad.append(client.post("/v2/models/words/infer", content=body, headers=JSON).status_code)

    thread = threading.Thread(target=harm)
    thread.start()
    statuses = {server.client.post("/v1/predict", json={"text": "superb"}).status_code for _ in range(200)}
    stop.set()
    thread.join()
    assert (statuses, set(bad)) == ({200}, {400})


# feedback


def test_feedback_is_taken_from_the_key_that_asked_and_from_no_other(server: Running) -> None:
    stranger = server.key("feedback", "predict")
    given = server.client.post("/v1/predict", json={"text": "superb"}).json()["predictions"][0]["request_id"]
    vote = {"request_id": given, "kind": "thumb", "value": 0}
    time.sleep(1.2)  # keys are read once a second
    refused = httpx.post(f"{server.url}/v1/feedback", json=vote, headers=stranger, timeout=60)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert server.client.post("/v1/feedback", json=vote).status_code == 202
    _wait(lambda: read_log(server.log_url, table="feedback").num_rows == 1)


# documents


def test_every_problem_says_what_it_means(server: Running) -> None:
    answer = server.client.post("/v1/nothing", json={})
    assert answer.status_code == answer.json()["status"] == 404
    told = server.client.get(answer.json()["type"])
    assert told.headers["content-type"].startswith("text/markdown")
    assert told.text.startswith("## not_found")
    assert server.client.get("/v1/predict").headers["allow"] == "POST"


# operators


def test_a_damaged_pointer_or_experiment_is_reported_and_the_next_one_is_seen(tmp_path: Path) -> None:
    first = word_bundle(tmp_path / "v1")
    second = word_bundle(tmp_path / "v2", praise=BLAME, blame=PRAISE)
    pointer, experiment = tmp_path / "champion.json", tmp_path / "experiment.json"
    _point(pointer, first)
    with serving(tmp_path) as server:

        def troubles() -> dict[str, str]:
            found: dict[str, str] = server.client.get("/readyz").json()["troubles"]
            return found

        for path in (pointer, experiment):
            whole = path.read_bytes() if path.exists() else None
            for damage in (
                b"{",
                b"[]",
                b"\xff",
                b'{"bundle": 1}',
                b"[" * 5000,
                b'{"manifest_sha256": "' + b"a" * 64 + b'"}',
            ):
                path.write_bytes(damage)
                _wait(lambda: "default" in troubles())
                _works(server)
            path.unlink() if whole is None else path.write_bytes(whole)
            _wait(lambda: troubles() == {})
        _point(pointer, second)
        _wait(lambda: server.client.get("/v1/model").json()["version"] == "v2")


def _point(pointer: Path, bundle: Path) -> None:
    write_json(
        pointer, {"bundle": str(bundle), "manifest_sha256": sha256_file(bundle / MANIFEST), "version": bundle.name}
    )


def test_keys_that_cannot_be_read_end_the_start_with_one_message(tmp_path: Path) -> None:
    """A folder in the file's place: unlike a file without rights, not even root reads it."""
    bundle = word_bundle(tmp_path / "words")
    with pytest.raises(AssertionError, match="API keys cannot be read"), _unreadable(tmp_path, bundle):
        pass


def test_damaged_keys_end_the_start_with_one_message(tmp_path: Path) -> None:
    bundle = word_bundle(tmp_path / "words")
    with pytest.raises(AssertionError, match="file of API keys is damaged"), _damaged(tmp_path, bundle):
        pass


def _unreadable(folder: Path, bundle: Path) -> Any:
    def replace() -> None:
        (folder / "keys.json").unlink()
        (folder / "keys.json").mkdir()

    return serving(folder, "--bundle", str(bundle), before=replace)


def _damaged(folder: Path, bundle: Path) -> Any:
    return serving(folder, "--bundle", str(bundle), before=lambda: (folder / "keys.json").write_text("{"))


def test_sighup_opens_the_access_log_anew(tmp_path: Path) -> None:
    bundle = word_bundle(tmp_path / "words")
    with serving(tmp_path, "--bundle", str(bundle)) as server:
        log, moved = tmp_path / "access.jsonl", tmp_path / "access.jsonl.1"
        server.client.get("/healthz", headers={"x-request-id": "one"})
        _wait(lambda: "one" in log.read_text())
        log.rename(moved)
        server.process.send_signal(signal.SIGHUP)
        _wait(log.exists)
        server.client.get("/healthz", headers={"x-request-id": "two"})
        _wait(lambda: '"two"' in log.read_text())
        assert '"two"' not in moved.read_text()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0


def test_a_full_disk_under_the_access_log_costs_lines_and_no_answer(tmp_path: Path) -> None:
    bundle = word_bundle(tmp_path / "words")
    with serving(tmp_path, "--bundle", str(bundle), access_log="/dev/full") as server:
        assert {server.client.get("/healthz").status_code for _ in range(50)} == {200}
        _wait(lambda: _count(server, "ratchet_access_log_lines_dropped") >= 50)


# several models


def test_several_models_are_asked_measured_and_limited_by_name(tmp_path: Path) -> None:
    first, second = word_bundle(tmp_path / "v1"), word_bundle(tmp_path / "v2", praise=BLAME, blame=PRAISE)
    _point(tmp_path / "champion.json", first)
    _point(tmp_path / "mail.json", second)
    model = {"name": "mail", "pointer": f"{tmp_path}/mail.json", "experiment": f"{tmp_path}/mail-experiment.json"}
    with serving(tmp_path, models=[model]) as server:
        key = server.key("predict", per_minute=2)
        time.sleep(1.2)

        def ask(path: str, headers: dict[str, str] | None = None) -> httpx.Response:
            return server.client.post(path, json={"text": "superb"}, headers=headers)

        labels = {
            path: ask(path).json()["predictions"][0]["label"] for path in ("/v1/predict", "/v1/models/mail/predict")
        }
        assert labels == {"/v1/predict": "positive", "/v1/models/mail/predict": "negative"}
        assert server.client.get("/v1/models").json() == {"models": ["default", "mail"]}
        assert server.client.get("/v2/models/mail/ready").json()["ready"] is True
        assert ask("/v1/models/other/predict").status_code == 404
        assert [ask("/v1/predict", key).status_code for _ in range(3)] == [200, 200, 429]
        assert ask("/v1/models/mail/predict", key).status_code == 200
        assert _count(server, "ratchet_predictions_total", model="mail", label="negative") == 2
        _wait(lambda: {row["model_version"] for row in read_log(server.log_url).to_pylist()} == {"v1", "v2"})


def _count(server: Running, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
