"""Prometheus metrics of a server."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client as prometheus
from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self.registry)
        self.requests = Counter("ratchet_requests", "Answers.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "ratchet_request_seconds", "From request to answer.", ["route"], registry=self.registry, buckets=_SECONDS
        )
        self.predictions = Counter(
            "ratchet_predictions", "Texts answered.", ["model", "label", "arm"], registry=self.registry
        )
        self.feedback = Counter("ratchet_feedback", "Feedback.", ["model", "kind"], registry=self.registry)
        self.batch_texts = Histogram(
            "ratchet_batch_texts", "Texts of a forward pass.", registry=self.registry, buckets=_TEXTS
        )
        self.model_cpu = Counter("ratchet_model_cpu_seconds", "CPU time of scoring.", registry=self.registry)
        self.swaps = Counter("ratchet_model_loads", "Models loaded.", ["model", "outcome"], registry=self.registry)
        self.model = Gauge("ratchet_model_info", "What serves: 1.", ["model", "arm", "version"], registry=self.registry)
        self.load_s = Gauge(
            "ratchet_model_load_seconds", "Of the model that serves.", ["model"], registry=self.registry
        )
        self.closed = Counter(
            "ratchet_connections_closed", "Connections closed by a limit.", ["reason"], registry=self.registry
        )
        # looking a counter up by its labels costs more than counting
        self._answers: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._predictions: dict[tuple[str, str, str], Counter] = {}

    def register_gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Register a gauge whose value is computed when Prometheus scrapes."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a response."""
        found = self._answers.get((route, status))
        if found is None:
            found = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._answers[route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def count_prediction(self, model: str, label: str, arm: str) -> None:
        """Count a predicted text."""
        found = self._predictions.get((model, label, arm))
        if found is None:
            found = self._predictions[model, label, arm] = self.predictions.labels(model, label, arm)
        found.inc()

    def count_closed(self, reason: str) -> None:
        """Count a connection that a limit closed."""
        self.closed.labels(reason).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return prometheus.generate_latest(self.registry)
