"""Client routes: predict, explain and feedback of each model, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ratchet.prediction_log.tables import microseconds
from ratchet.serving.access import Access, belongs
from ratchet.serving.problems import ProblemError, Response
from ratchet.serving.requests import Request, parse, take_texts
from ratchet.serving.routes import Route
from ratchet.serving.schemas import (
    ExplainRequest,
    ExplainResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
)
from ratchet.serving.service import Answer, Service

Services = Mapping[str, Service]
"""Name → service of a model; the first one is that of routes that name none."""


def client_routes(services: Services, access: Access) -> list[Route]:
    """The routes, each for the first model and for any by its name."""
    handlers = ClientRoutes(services, access)
    found = []
    for prefix in ("/v1", "/v1/models/{model}"):
        missing = ("not_found",) if "{" in prefix else ()
        found += [
            Route(
                "POST",
                f"{prefix}/predict",
                handlers.predict,
                "Label, confidence and the probability of each class, of one text or of many.",
                "predict",
                PredictRequest,
                PredictResponse,
                problems=("overloaded", *missing),
            ),
            Route(
                "POST",
                f"{prefix}/explain",
                handlers.explain,
                "SHAP value of each word of a text for the predicted class.",
                "explain",
                ExplainRequest,
                ExplainResponse,
                problems=("overloaded", *missing),
            ),
            Route(
                "POST",
                f"{prefix}/feedback",
                handlers.feedback,
                "A thumb or the correct label of an answer that the same key was given.",
                "feedback",
                FeedbackRequest,
                FeedbackResponse,
                202,
                problems=missing,
            ),
        ]
    about = "Which bundle answers, and which experiment is on."
    found.append(Route("GET", "/v1/model", handlers.model, about, "predict"))
    found.append(Route("GET", "/v1/models/{model}", handlers.model, about, "predict", problems=("not_found",)))
    found.append(Route("GET", "/v1/models", handlers.models, "Names of all models.", "predict"))
    return found


class ClientRoutes:
    """Handlers."""

    def __init__(self, services: Services, access: Access) -> None:
        self._services, self._access = services, access
        self._first = next(iter(services.values()))

    def service(self, request: Request) -> Service:
        """The service of the model that the path names.

        Raises:
            ProblemError: there is none of this name.
        """
        name = request.path.get("model")
        found = self._first if name is None else self._services.get(name)
        if found is None:
            raise ProblemError("not_found", "there is no model of this name: GET /v1/models")
        return found

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict`."""
        service = self.service(request)
        asked = parse(request, PredictRequest, service.params)
        texts = take_texts(request, [asked.text] if asked.text is not None else asked.texts or [], service.params)
        return Response(_json(await service.predict(texts, asked.unit, request.key_id, request.start, request.owner)))

    async def explain(self, request: Request) -> Response:
        """`POST /v1/explain`."""
        service = self.service(request)
        asked = parse(request, ExplainRequest, service.params)
        take_texts(request, [asked.text], service.params)
        model, found = await service.explain(asked.text)
        best = found.predicted
        content = {
            "model_version": model.version,
            "text": found.text,
            "label": model.labels[best],
            "confidence": float(found.proba[best]),
            "base": float(found.base[best]),
            "words": [
                {"word": word, "start": start, "end": end, "value": float(value)}
                for word, (start, end), value in zip(found.words, found.spans, found.values[:, best], strict=True)
            ],
            "additivity_error": float(found.additivity_error),
        }
        return Response(orjson.dumps(content))

    async def feedback(self, request: Request) -> Response:
        """`POST /v1/feedback`."""
        service = self.service(request)
        asked = parse(request, FeedbackRequest, service.params)
        if asked.label is not None and asked.label not in service.champion.labels:
            known = f"one of {', '.join(service.champion.labels)}"
            raise ProblemError("invalid", f"the label is not {known}", [("label", known)])
        if self._access.required and not belongs(asked.request_id, request.owner):
            raise ProblemError("forbidden", "no answer of this request id was given to this key")
        row = {"timestamp": microseconds(datetime.now(UTC)), **asked.model_dump()}
        return Response(orjson.dumps({"accepted": service.add_feedback(row)}), status=202)

    async def model(self, request: Request) -> Response:
        """`GET /v1/model`."""
        return Response(orjson.dumps(model_facts(self.service(request)), option=orjson.OPT_SERIALIZE_NUMPY))

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        return Response(orjson.dumps({"models": list(self._services)}))


def model_facts(service: Service) -> dict[str, Any]:
    """Versions of the served champion and challenger, and the running experiment."""
    manifest = service.champion.predictor.manifest
    return {
        "version": service.champion.version,
        "manifest_sha256": service.champion.manifest_sha256,
        "load_s": round(service.champion.load_s, 3),
        **manifest.model_dump(mode="json", exclude={"files"}),
        "experiment": service.experiment.model_dump(include={"name", "mode", "share"}),
        "challenger": service.challenger.version if service.challenger else None,
    }


def _json(answer: Answer) -> bytes:
    labels, predictions = answer.model.labels, []
    for request_id, values in zip(answer.request_ids, answer.proba.tolist(), strict=True):
        confidence = max(values)
        predictions.append(
            {
                "request_id": request_id,
                "label": labels[values.index(confidence)],
                "confidence": confidence,
                "proba": dict(zip(labels, values, strict=True)),
            }
        )
    return orjson.dumps({"model_version": answer.model.version, "predictions": predictions})
