"""Error responses: status, code, message and request id of a request that was refused or failed."""

from __future__ import annotations

import logging
import math

import pydantic
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from ratchet.serving.auth import DeniedError
from ratchet.serving.batcher import OverloadedError

_LOGGER = logging.getLogger("ratchet.serving")
_CODES = {400: "invalid", 404: "not_found", 405: "not_allowed", 409: "conflict", 413: "too_large", 415: "not_json"}


def error_response(error: Exception, request_id: str) -> Response:
    """The response to a request that raised; it names what was wrong and never repeats what was sent."""
    match error:
        case DeniedError():
            after = error.retry_after_s if error.status == 429 else None
            return _json_error(request_id, error.status, error.code, error.message, after)
        case OverloadedError():
            return _json_error(request_id, 429, "overloaded", str(error), error.retry_after_s)
        case RequestValidationError():  # where it is from: (body, field, ...)
            details = [((*map(str, item["loc"][1:]),), item["msg"]) for item in error.errors()]
            return _json_error(request_id, 422, "invalid", _listed(details))
        case pydantic.ValidationError():
            items = error.errors(include_url=False, include_context=False, include_input=False)
            return _json_error(request_id, 422, "invalid", _listed([((*map(str, x["loc"]),), x["msg"]) for x in items]))
        case HTTPException():
            code = _CODES.get(error.status_code, "invalid")
            return _json_error(request_id, error.status_code, code, str(error.detail))
    _LOGGER.error("a request failed: %s", type(error).__name__)
    return _json_error(request_id, 500, "failed", "the server failed; the request id finds it in the log")


def _listed(details: list[tuple[tuple[str, ...], str]]) -> str:
    return "; ".join(f"{'.'.join(where) or 'body'}: {what}" for where, what in details)


def _json_error(request_id: str, status: int, code: str, message: str, retry_after_s: float | None = None) -> Response:
    message = message.encode(errors="backslashreplace").decode()  # names that were sent may be no Unicode
    headers = {"retry-after": str(max(1, math.ceil(retry_after_s)))} if retry_after_s is not None else {}
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": message, "code": code, "request_id": request_id}, status, headers)
