"""Routes of the Open Inference Protocol, version 2."""

from __future__ import annotations

import orjson

from ratchet.serving import open_inference as v2
from ratchet.serving.client_routes import Services
from ratchet.serving.problems import ProblemError, Response
from ratchet.serving.requests import Request, take_texts
from ratchet.serving.routes import Route
from ratchet.serving.service import Service


def open_inference_routes(services: Services) -> list[Route]:
    """The routes: of a server, and of each model by its name, the bundle's name, or `champion` for the first."""
    handlers = OpenInferenceRoutes(services)
    found = [
        Route("GET", "/v2", handlers.server, "The server and its extensions."),
        Route("GET", "/v2/health/live", handlers.live, "Whether the process answers."),
        Route("GET", "/v2/health/ready", handlers.ready, "Whether requests should come here.", also=(503,)),
    ]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        missing = ("not_found",)
        found += [
            Route("GET", path, handlers.metadata, "Inputs and outputs of a model.", problems=missing),
            Route("GET", f"{path}/ready", handlers.model_ready, "Whether it answers.", also=(503,), problems=missing),
            Route(
                "POST",
                f"{path}/infer",
                handlers.infer,
                "Labels and probabilities of texts; tensors as JSON or binary.",
                "predict",
                v2.InferRequest,
                problems=("malformed", "overloaded", *missing),
                binary=True,
            ),
        ]
    return found


class OpenInferenceRoutes:
    """Handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._first = next(iter(services.values()))

    async def server(self, request: Request) -> Response:
        """`GET /v2`."""
        return Response(orjson.dumps(v2.SERVER))

    async def live(self, request: Request) -> Response:
        """`GET /v2/health/live`."""
        return Response(b'{"live":true}')

    async def ready(self, request: Request) -> Response:
        """`GET /v2/health/ready`."""
        return _ready(self._first, {})

    async def metadata(self, request: Request) -> Response:
        """`GET /v2/models/{name}`."""
        service = self._service(request)
        name, version = service.champion.predictor.manifest.name, service.champion.version
        return Response(orjson.dumps(v2.model_metadata(name, version, len(service.champion.labels))))

    async def model_ready(self, request: Request) -> Response:
        """`GET /v2/models/{name}/ready`."""
        service = self._service(request)
        return _ready(service, {"name": service.champion.predictor.manifest.name})

    async def infer(self, request: Request) -> Response:
        """`POST /v2/models/{name}/infer`."""
        service = self._service(request)
        head = request.headers.get(v2.HEADER.encode())
        try:
            asked, texts = v2.read_request(
                request.body, None if head is None else head.decode("latin-1"), service.params.max_texts
            )
            take_texts(request, texts, service.params)
            answer = await service.predict(texts, None, request.key_id, request.start, request.owner)
            name, model = request.path["name"], answer.model
            body, n_head = v2.write_response(asked, name, model.version, model.labels, answer.proba)
        except v2.BadInputError as error:
            raise ProblemError("malformed", str(error)) from None
        if n_head is None:
            return Response(body)
        return Response(body, b"application/octet-stream", headers=[(v2.HEADER.encode(), b"%d" % n_head)])

    def _service(self, request: Request) -> Service:
        name, version = request.path["name"], request.path.get("version")
        service = self._services.get(name)
        if service is None and name in ("champion", self._first.champion.predictor.manifest.name):
            service = self._first
        if service is None or version not in (None, service.champion.version):
            raise ProblemError("not_found", "the model that serves has another name or version")
        return service


def _ready(service: Service, more: dict[str, str]) -> Response:
    is_ready = not service.draining
    return Response(orjson.dumps({**more, "ready": is_ready}), status=200 if is_ready else 503)
