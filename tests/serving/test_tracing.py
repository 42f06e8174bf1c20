"""A span a request: the caller's trace goes on, no text or key is in it, an absent collector harms nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ratchet.serving.tracing import Tracing
from tests.support.live_server import serving, word_bundle

pytest.importorskip("opentelemetry.sdk", reason="pip install 'ratchet[traces]'")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET_TEXT = "a superb film about Zyxomma"


def test_a_span_has_the_callers_trace_and_what_the_access_log_has() -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import StatusCode

    kept = InMemorySpanExporter()
    tracing = Tracing(kept)
    caller = {b"traceparent": f"00-{TRACE}-{SPAN}-01".encode()}
    tracing.record(caller, 0.25, "POST", "/v1/predict", 200, request_id="r1", n_texts=2, key_id="")
    tracing.record({}, 0.001, "GET", "/v1/model", 503)
    tracing.close()
    first, second = kept.get_finished_spans()
    assert first.name == "POST /v1/predict"
    assert f"{first.context.trace_id:032x}" == TRACE
    assert first.parent is not None
    assert f"{first.parent.span_id:016x}" == SPAN
    assert ((first.end_time or 0) - (first.start_time or 0)) / 1e9 == pytest.approx(0.25)
    assert dict(first.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/predict",
        "http.response.status_code": 200,
        "ratchet.request_id": "r1",
        "ratchet.n_texts": 2,
    }
    assert second.parent is None
    assert second.status.status_code is StatusCode.ERROR


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An address on loopback, and what was posted to it."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.path.encode() + b"\n" + self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.service
def test_the_server_sends_its_spans_and_no_text_or_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (url, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with serving(tmp_path, "--bundle", str(word_bundle(tmp_path / "words")), traces="otlp") as server:
            answer = server.client.post("/v1/predict", json={"text": SECRET_TEXT})
            secret = server.client.headers["Authorization"].split()[1]
            assert answer.status_code == 200
            request_id = answer.headers["x-request-id"]
    sent = b"".join(got)
    assert b"/v1/traces" in sent
    assert request_id.encode() in sent
    assert b"/v1/predict" in sent
    assert b"Zyxomma" not in sent
    assert secret.encode() not in sent


@pytest.mark.service
def test_a_collector_that_is_away_costs_spans_and_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(tmp_path, "--bundle", str(word_bundle(tmp_path / "words")), traces="otlp") as server:
        assert {server.client.post("/v1/predict", json={"text": "a film"}).status_code for _ in range(50)} == {200}
