"""The route `POST /v1/predict`, from the body's bytes to the response's, without a web framework between.

FastAPI's routing, dependencies and middleware cost more CPU than reading the request, its key and writing the answer do
together. Its own declaration of the route, in `routes`, gives the schema, and what it is handed ends up here too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from ratchet.serving.auth import Access, DeniedError, Scope
from ratchet.serving.schemas import PredictRequest
from ratchet.serving.service import Answer, Service
from ratchet.serving.settings import ServeParams

Headers = Mapping[bytes, bytes]
"""As ASGI has them: names in lower case."""


class PredictRoute:
    """Answers `POST /v1/predict`."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service, self._access = service, access

    async def __call__(self, headers: Headers, body: bytes, state: dict[str, Any]) -> bytes:
        """The answer in JSON, as `PredictResponse` declares it.

        Args:
            headers: of the request.
            body: all of it.
            state: of the request; gets the key's id and the number of texts.

        Raises:
            pydantic.ValidationError: the body is not a `PredictRequest`.
            DeniedError, HTTPException, OverloadedError: the request is refused.
        """
        start = time.perf_counter()
        key_id = check_key(headers, state, self._access, "predict")
        return await self.answer(PredictRequest.model_validate_json(body), key_id, state, start)

    async def answer(self, asked: PredictRequest, key_id: str, state: dict[str, Any], start: float) -> bytes:
        """As above, from what was read."""
        texts = [asked.text] if asked.text is not None else asked.texts or []
        check_texts(texts, self._service.params, state)
        return _json(await self._service.predict(texts, asked.unit, key_id, start))


def check_key(headers: Headers, state: dict[str, Any], access: Access, scope: Scope) -> str:
    """Check the request's key for the scope; returns its id.

    Raises:
        DeniedError: it has none that works, or asks too often.
    """
    given = headers.get(b"authorization", b"")
    secret = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
    try:
        key_id = access.check(secret.decode("latin-1"), scope, datetime.now(UTC))
    except DeniedError as denied:
        state["key_id"] = denied.key_id
        raise
    state["key_id"] = key_id
    return key_id


def check_texts(texts: Sequence[str], params: ServeParams, state: dict[str, Any]) -> None:
    """Refuse too many texts, and too long ones.

    Raises:
        HTTPException: 413.
    """
    if len(texts) > params.max_texts:
        raise HTTPException(413, f"more than {params.max_texts} texts")
    if any(len(text) > params.max_text_characters for text in texts):
        raise HTTPException(413, f"a text of more than {params.max_text_characters} characters")
    state["n_texts"] = len(texts)


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
