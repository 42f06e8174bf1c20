"""The ASGI application: each request goes route → key → size → body → handler, and leaves a line and a count.

Plain ASGI: the routing, dependencies and middleware of a web framework cost more CPU than reading a request, its key
and writing the answer do together (docs/decisions/serving-without-a-model-server.md).
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from ratchet.serving.access import Access
from ratchet.serving.client_routes import Services, client_routes
from ratchet.serving.metrics import Metrics
from ratchet.serving.open_inference_routes import open_inference_routes
from ratchet.serving.openapi import document
from ratchet.serving.operator_routes import operator_routes
from ratchet.serving.problems import ProblemError, Response, problem_response
from ratchet.serving.requests import Request, check_head, read_body
from ratchet.serving.routes import Route, Router
from ratchet.serving.service import Service
from ratchet.serving.tracing import Tracing

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_KEYS_EVERY_S = 1.0


class App:
    """Routes, access and log of a server."""

    def __init__(
        self,
        services: Services,
        access: Access,
        metrics: Metrics,
        log_line: Callable[[bytes], None] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._services, self._access, self._metrics, self._log_line = services, access, metrics, log_line
        self._tracing = tracing
        self._first = next(iter(services.values()))
        self._params = self._first.params
        routes = [
            *client_routes(services, access),
            *open_inference_routes(services),
            *operator_routes(services, access, metrics),
            Route("GET", "/openapi.json", self._openapi, "This document."),
        ]
        self._router = Router(routes)
        self._background: list[asyncio.Task[None]] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request, or the start and end of the server."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent.decode() if _ID.fullmatch(sent) else secrets.token_hex(8)
        request = Request(request_id, headers, {}, time.perf_counter())
        route, status = None, 500
        try:
            try:
                route, request.path = self._router.find(scope["method"], scope["path"])
                response = await self._answer(route, request, receive)
            except Exception as error:
                if isinstance(error, ProblemError) and error.key_id:
                    request.key_id = error.key_id
                response = problem_response(error, request_id)
            status = response.status
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [
                        (b"content-type", response.media_type),
                        (b"content-length", b"%d" % len(response.body)),
                        (b"x-request-id", request_id.encode()),
                        *response.headers,
                    ],
                }
            )
            await send({"type": "http.response.body", "body": response.body})
        finally:
            self._count(scope["method"], "other" if route is None else route.path, status, request)

    async def _answer(self, route: Route, request: Request, receive: Receive) -> Response:
        """The answer of a route: key first, by the head alone; then the body."""
        if route.scope is not None:
            model = self._model(route, request)
            key = self._access.check(request.headers, route.scope, model)
            if key is not None:
                request.key_id, request.owner = key.id, key.owner
                request.spend = lambda n_texts: self._access.spend(key, model, n_texts)
        if route.method == "POST":
            check_head(request.headers, route.binary, self._params)
            request.body = await read_body(receive, request.headers, self._params)
        return await route.handle(request)

    def _model(self, route: Route, request: Request) -> str:
        """The model that a key is charged for: the first one unless the path names another that there is."""
        named = request.path.get(route.model_parameter, "") if route.model_parameter else ""
        return named if named in self._services else self._first.name

    async def _openapi(self, request: Request) -> Response:
        return Response(orjson.dumps(document(self._router.routes, self._params, self._first.champion.labels)))

    def _count(self, method: str, route: str, status: int, request: Request) -> None:
        """Count an answer and log its line: never the path as sent, which may be anything."""
        seconds = time.perf_counter() - request.start
        self._metrics.count_request(route, status, seconds)
        method = method if method.isalpha() and len(method) < 10 else "other"
        if self._tracing is not None:
            told = {"request_id": request.request_id, "key_id": request.key_id, "n_texts": request.n_texts}
            told["model"] = request.path.get("model") or request.path.get("name") or self._first.name
            self._tracing.record(request.headers, seconds, method, route, status, **told)
        if self._log_line is not None:
            self._log_line(
                orjson.dumps(
                    {
                        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "request_id": request.request_id,
                        "method": method,
                        "route": route,
                        "status": status,
                        "ms": round(1000 * seconds, 3),
                        "key_id": request.key_id,
                        "n_texts": request.n_texts,
                        "bytes": len(request.body),
                    }
                )
            )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        for service in self._services.values():
            service.start()
        self._background.append(asyncio.create_task(self._refresh_keys()))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in self._background:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for service in self._services.values():
            await service.close()
        await asyncio.to_thread(self._first.log.close, self._params.shutdown_s)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _refresh_keys(self) -> None:
        """Read the keys again, once a second, beside the event loop."""
        while True:
            await asyncio.sleep(_KEYS_EVERY_S)
            await asyncio.to_thread(self._access.refresh)


def make_app(
    services: Services | Service,
    access: Access,
    log_line: Callable[[bytes], None] | None = None,
    tracing: Tracing | None = None,
) -> App:
    """The ASGI application of services, or of one."""
    listed = {services.name: services} if isinstance(services, Service) else services
    return App(listed, access, next(iter(listed.values())).metrics, log_line, tracing)
