"""OpenTelemetry traces of requests: a span each, with the caller's trace as its parent; off unless they are asked for.

Spans hold what the access log holds: route, status, request id, key id, model, number of texts; no text and no key.
They are sent by a thread of their own, by OTLP over HTTP, to the address that the standard variables name
(`OTEL_EXPORTER_OTLP_ENDPOINT`); where it does not take them they are dropped, and answers never wait.

Source: OpenTelemetry semantic conventions for HTTP server spans, version 1.23 and later.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ratchet.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SERVICE = "ratchet"
"""Name of the service unless `OTEL_SERVICE_NAME` gives another."""
QUEUE_SIZE, BATCH_SIZE, EVERY_MS, TIMEOUT_MS = 2048, 256, 1000, 5000
"""Spans that wait at most, that are sent together, how often, and how long a send may take."""
SERVER_ERROR = 500


class Tracing:
    """Makes a span of each request."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Args:
        exporter: takes the spans; None: OTLP over HTTP.

        Raises:
            MissingExtraError: OpenTelemetry is not installed.
        """
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter(timeout=TIMEOUT_MS / 1000)
        except ImportError:
            raise MissingExtraError("Traces need OpenTelemetry.", fix="pip install 'ratchet[traces]'") from None
        processor = BatchSpanProcessor(
            exporter,
            max_queue_size=QUEUE_SIZE,
            schedule_delay_millis=EVERY_MS,
            max_export_batch_size=BATCH_SIZE,
            export_timeout_millis=TIMEOUT_MS,
        )
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("ratchet.serving")
        self._propagator = TraceContextTextMapPropagator()

    def record(
        self, headers: Mapping[bytes, bytes], seconds: float, method: str, route: str, status: int, **told: Any
    ) -> None:
        """A request that has been answered.

        Args:
            headers: as they came; `traceparent` and `tracestate` name the caller's span.
            seconds: from its start until now.
            method: of the request.
            route: the route's path, never the path as sent.
            status: of the answer.
            told: further attributes, left out where empty.
        """
        from opentelemetry.trace import SpanKind, StatusCode

        carrier = {name: headers[name.encode()].decode("latin-1") for name in _CONTEXT if name.encode() in headers}
        end = time.time_ns()
        span = self._tracer.start_span(
            f"{method} {route}",
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                **{f"ratchet.{name}": value for name, value in told.items() if value},
            },
            start_time=end - int(seconds * 1e9),
        )
        if status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.shutdown()


_CONTEXT = ("traceparent", "tracestate")
"""Headers of W3C Trace Context."""
