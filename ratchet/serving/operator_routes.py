"""Operator routes: alive, ready, metrics, reload, and the documents that describe the server."""

from __future__ import annotations

import orjson

from ratchet.errors import RatchetError
from ratchet.serving.access import Access
from ratchet.serving.client_routes import Services, model_facts
from ratchet.serving.metrics import Metrics
from ratchet.serving.problems import PROBLEMS, ProblemError, Response, problem_text
from ratchet.serving.requests import Request
from ratchet.serving.routes import Route

_METRICS = b"text/plain; version=0.0.4; charset=utf-8"


def operator_routes(services: Services, access: Access, metrics: Metrics) -> list[Route]:
    """The routes."""
    handlers = OperatorRoutes(services, access, metrics)
    alive, ready = "Whether the process answers.", "Whether requests should come here: 503 while draining."
    return [
        *(Route("GET", path, handlers.health, alive) for path in ("/healthz", "/health")),
        *(Route("GET", path, handlers.ready, ready, also=(503,)) for path in ("/readyz", "/ready")),
        Route("GET", "/metrics", handlers.metrics, "Metrics for Prometheus.", media_type=_METRICS.decode()),
        Route(
            "POST",
            "/v1/admin/reload",
            handlers.reload,
            "Look at pointer and experiment now.",
            "admin",
            problems=("conflict",),
        ),
        Route("GET", "/problems/{code}", handlers.problem, "What a problem means.", media_type="text/markdown"),
    ]


class OperatorRoutes:
    """Handlers."""

    def __init__(self, services: Services, access: Access, metrics: Metrics) -> None:
        self._services, self._access, self._metrics = services, access, metrics
        self._first = next(iter(services.values()))

    async def health(self, request: Request) -> Response:
        """`GET /healthz`."""
        return Response(b'{"status":"alive"}')

    async def ready(self, request: Request) -> Response:
        """`GET /readyz`."""
        troubles = {name: service.trouble for name, service in self._services.items() if service.trouble}
        if self._access.problem:
            troubles["keys"] = "the API keys cannot be read"
        is_ready = not self._first.draining and not self._access.is_stale
        status = {"ready": is_ready, "model_version": self._first.champion.version, "troubles": troubles}
        return Response(orjson.dumps(status), status=200 if is_ready else 503)

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        return Response(self._metrics.text(), _METRICS)

    async def reload(self, request: Request) -> Response:
        """`POST /v1/admin/reload`."""
        try:
            changed = [await service.reload() for service in self._services.values()]
        except RatchetError as error:
            raise ProblemError("conflict", f"the old model goes on: {error.what}") from None
        return Response(orjson.dumps({"changed": any(changed), **model_facts(self._first)}))

    async def problem(self, request: Request) -> Response:
        """`GET /problems/{code}`."""
        if request.path["code"] not in PROBLEMS:
            raise ProblemError("not_found", "there is no such problem")
        return Response(problem_text(request.path["code"]).encode(), b"text/markdown; charset=utf-8")
