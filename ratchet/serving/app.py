"""The ASGI application: client routes, operator routes (health, metrics, reload) and error handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from ratchet.errors import RatchetError
from ratchet.serving.auth import Access, DeniedError
from ratchet.serving.batcher import OverloadedError
from ratchet.serving.error_responses import error_response
from ratchet.serving.middleware import RequestMiddleware
from ratchet.serving.predict_route import PredictRoute
from ratchet.serving.routes import add_open_inference, add_routes, model_facts, require_scope
from ratchet.serving.service import Service


def make_app(service: Service, access: Access, log_line: Callable[[bytes], None] | None = None) -> RequestMiddleware:
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
    direct = {"/v1/predict": PredictRoute(service, access)}
    return RequestMiddleware(app, service.params.max_body_bytes, service.metrics, log_line, direct)


def _add_operation(app: FastAPI, service: Service, access: Access) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready")
    async def ready() -> Response:
        status = {"ready": not service.draining, "model_version": service.champion.version}
        return JSONResponse(status, 503 if service.draining else 200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post("/v1/admin/reload")
    async def reload(request: Request) -> dict[str, Any]:
        require_scope(request, access, "admin")
        try:
            changed = await service.reload()
        except RatchetError as error:
            raise HTTPException(409, f"the old model goes on: {error}") from None
        return {"changed": changed, **model_facts(service)}


def _add_errors(app: FastAPI) -> None:
    async def respond(request: Request, error: Exception) -> Response:
        return error_response(error, request.scope["state"]["request_id"])

    for kind in (DeniedError, OverloadedError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, respond)
