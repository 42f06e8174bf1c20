"""The server's HTTP interface: the routes, those of its operators, and what every fault is answered with."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from ratchet.errors import RatchetError
from ratchet.live.access import Access, DeniedError
from ratchet.live.batcher import OverloadedError
from ratchet.live.edge import Edge
from ratchet.live.routes import add_open_inference, add_routes, model_facts, need
from ratchet.live.service import Service

_LOGGER = logging.getLogger("ratchet.live")


def make_app(service: Service, access: Access, log_line: Callable[[str], None] | None = None) -> Edge:
    """The ASGI application of a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.close()

    app = FastAPI(title="Ratchet", version="1", lifespan=lifespan, redoc_url=None, docs_url=None)
    add_routes(app, service, access)
    add_open_inference(app, service, access)
    _add_operation(app, service, access)
    _add_errors(app)
    return Edge(app, service.params.max_body_bytes, service.metrics, log_line)


def _add_operation(app: FastAPI, service: Service, access: Access) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> Response:
        told = {"ready": not service.draining, "model_version": service.champion.version}
        return JSONResponse(told, 503 if service.draining else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/v1/admin/reload")
    async def reload(request: Request) -> dict[str, Any]:
        need(request, access, "admin")
        try:
            changed = await service.reload()
        except RatchetError as error:
            raise HTTPException(409, f"the old model goes on: {error}") from None
        return {"changed": changed, **model_facts(service)}


def _add_errors(app: FastAPI) -> None:
    def told(request: Request, status: int, code: str, message: str, retry_after_s: float | None = None) -> Response:
        headers = {"retry-after": str(max(1, math.ceil(retry_after_s)))} if retry_after_s is not None else {}
        if status == 401:
            headers["www-authenticate"] = "Bearer"
        content = {"error": message, "code": code, "request_id": request.scope["state"]["request_id"]}
        return JSONResponse(content, status, headers)

    @app.exception_handler(DeniedError)
    async def denied(request: Request, error: DeniedError) -> Response:
        after = error.retry_after_s if error.status == 429 else None
        return told(request, error.status, error.code, error.message, after)

    @app.exception_handler(OverloadedError)
    async def overloaded(request: Request, error: OverloadedError) -> Response:
        return told(request, 429, "overloaded", str(error), error.retry_after_s)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = (f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}" for fault in error.errors())
        return told(request, 422, "invalid", "; ".join(faults))  # what was sent is not repeated

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        codes = {400: "invalid", 404: "not_found", 405: "not_allowed", 409: "conflict", 413: "too_large"}
        return told(request, error.status_code, codes.get(error.status_code, "invalid"), str(error.detail))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        _LOGGER.error("a request failed: %s", type(error).__name__)
        return told(request, 500, "failed", "the server failed; the request id finds it in the log")
