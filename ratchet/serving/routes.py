"""Client routes: Ratchet's own API, and the Open Inference Protocol."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ratchet.prediction_log.tables import microseconds
from ratchet.serving import open_inference as v2
from ratchet.serving.auth import Access, Scope
from ratchet.serving.middleware import is_json
from ratchet.serving.predict_route import PredictRoute, check_key, check_texts
from ratchet.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
    Word,
)
from ratchet.serving.service import Service


def require_scope(request: Request, access: Access, scope: Scope) -> str:
    """Check the request's key for the scope; returns its id."""
    return check_key(dict(request.scope["headers"]), request.scope["state"], access, scope)


def add_routes(app: FastAPI, service: Service, access: Access) -> None:
    """Predict, explain, take feedback, and say which model answers."""

    @app.post("/v1/predict", response_model=PredictResponse)
    async def predict(asked: PredictRequest, request: Request) -> Response:
        start, key_id = time.perf_counter(), require_scope(request, access, "predict")
        answer = await PredictRoute(service, access).answer(asked, key_id, request.scope["state"], start)
        return Response(answer, media_type="application/json")

    @app.post("/v1/explain")
    async def explain(asked: ExplainRequest, request: Request) -> ExplainResponse:
        require_scope(request, access, "explain")
        check_texts([asked.text], service.params, request.scope["state"])
        model, found = await service.explain(asked.text)
        of = found.predicted
        words = [
            Word(word=word, start=start, end=end, value=float(value))
            for word, (start, end), value in zip(found.words, found.spans, found.values[:, of], strict=True)
        ]
        return ExplainResponse(
            model_version=model.version,
            text=found.text,
            label=model.labels[of],
            confidence=float(found.proba[of]),
            base=float(found.base[of]),
            words=words,
            additivity_error=found.additivity_error,
        )

    @app.post("/v1/feedback", status_code=202)
    async def feedback(asked: FeedbackRequest, request: Request) -> FeedbackResponse:
        require_scope(request, access, "feedback")
        if asked.label is not None and asked.label not in service.champion.labels:
            raise HTTPException(422, f"the label is none of {', '.join(service.champion.labels)}")
        row = {"timestamp": microseconds(datetime.now(UTC)), **asked.model_dump()}
        return FeedbackResponse(accepted=service.add_feedback(row))

    @app.get("/v1/model")
    async def model(request: Request) -> dict[str, Any]:
        require_scope(request, access, "predict")
        return model_facts(service)


def model_facts(service: Service) -> dict[str, Any]:
    """Versions of the served champion and challenger, and the running experiment."""
    manifest = service.champion.predictor.manifest
    return {
        "version": service.champion.version,
        "manifest_sha256": service.champion.manifest_sha256,
        "load_s": round(service.champion.load_s, 3),
        **manifest.model_dump(exclude={"files"}),
        "experiment": service.experiment.model_dump(include={"name", "mode", "share"}),
        "challenger": service.challenger.version if service.challenger else None,
    }


def add_open_inference(app: FastAPI, service: Service, access: Access) -> None:
    """Add the routes of the Open Inference Protocol."""

    @app.get("/v2")
    async def server() -> dict[str, Any]:
        return v2.SERVER

    @app.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        return JSONResponse({"ready": not service.draining}, 503 if service.draining else 200)

    def known(name: str, version: str | None) -> str:
        model = service.champion.predictor.manifest.name
        if name not in (model, "champion") or version not in (None, "", service.champion.version):
            raise HTTPException(404, "the model that serves has another name or version")
        return model

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    async def metadata(name: str, version: str | None = None) -> dict[str, Any]:
        return v2.model_metadata(known(name, version), service.champion.version, len(service.champion.labels))

    @app.get("/v2/models/{name}/ready")
    @app.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str | None = None) -> Response:
        return JSONResponse(
            {"name": known(name, version), "ready": not service.draining}, 503 if service.draining else 200
        )

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(name: str, request: Request, version: str | None = None) -> Response:
        start = time.perf_counter()
        key_id = require_scope(request, access, "predict")
        known(name, version)
        kind = request.headers.get("content-type", "")  # the protocol's own clients say none
        if kind and not is_json(kind.encode("latin-1")) and kind != "application/octet-stream":
            raise HTTPException(415, "the body must be JSON, or JSON with binary tensors: application/octet-stream")
        try:
            asked, texts = v2.read_request(await request.body(), request.headers.get(v2.HEADER))
            check_texts(texts, service.params, request.scope["state"])
            answer = await service.predict(texts, None, key_id, start)
            body, head = v2.write_response(asked, name, answer.model.version, answer.model.labels, answer.proba)
        except v2.BadInputError as error:
            raise HTTPException(400, str(error)) from None
        if head is None:
            return Response(body, media_type="application/json")
        return Response(body, media_type="application/octet-stream", headers={v2.HEADER: str(head)})
