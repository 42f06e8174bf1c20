"""Problem details of requests that are refused or fail (RFC 9457): one table, from which the documentation is made.

A problem says what was wrong with the request and never repeats what was sent. Its `type` is a path of the server,
which answers there with the text below.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from ratchet.serving.batcher import OverloadedError

_LOGGER = logging.getLogger("ratchet.serving")
MEDIA_TYPE = b"application/problem+json"
MAX_ERRORS = 5
"""Errors of a body that are named."""


@dataclass(frozen=True)
class Problem:
    """A kind of problem."""

    status: int
    title: str
    help: str
    """What it means, and what the client can do."""


PROBLEMS: Mapping[str, Problem] = {
    "malformed": Problem(
        400, "The request is malformed", "It is no HTTP, or no request of the Open Inference Protocol: correct it."
    ),
    "unauthorized": Problem(
        401,
        "A valid API key is needed",
        "The key is missing, unknown, expired or revoked. Send `Authorization: Bearer rk_…`, or `X-API-Key`.",
    ),
    "forbidden": Problem(
        403,
        "The API key may not do this",
        "It lacks the scope or the model, or the answer that feedback names was given to another key.",
    ),
    "not_found": Problem(404, "There is no such route or model", "`/openapi.json` lists the routes."),
    "not_allowed": Problem(405, "The route has other methods", "The header `Allow` lists them."),
    "too_slow": Problem(
        408,
        "The request came too slowly",
        "Its head and its body have a time each (`header_timeout_s`, `body_timeout_s`): send it again.",
    ),
    "conflict": Problem(
        409, "The model cannot be changed", "What the pointer names fails verification. The model that serves goes on."
    ),
    "too_large": Problem(
        413,
        "The request is too large",
        "Its body, a text, or the number of texts is beyond the limits of the server or of its key. Send several "
        "requests.",
    ),
    "wrong_type": Problem(
        415,
        "The body has another type or encoding",
        "Send JSON, and say so: `Content-Type: application/json`; as it is, or with `Content-Encoding: gzip`.",
    ),
    "invalid": Problem(
        422,
        "The body does not fit the schema",
        f"`errors` names {MAX_ERRORS} fields at most, by what they should hold.",
    ),
    "rate_limited": Problem(
        429,
        "The API key asks too often",
        "Its rate is counted in texts a minute. Wait for as long as `Retry-After` says.",
    ),
    "overloaded": Problem(
        429, "The server is busy", "The texts would wait too long. Try again after `Retry-After`, or at another server."
    ),
    "header_too_large": Problem(431, "The head of the request is too large", "Send fewer and shorter headers."),
    "failed": Problem(500, "The server failed", "The request id finds it in the server's messages."),
    "unavailable": Problem(
        503,
        "The server cannot answer now",
        "It has too many connections, or its API keys cannot be read: then nobody is let in. Try again after "
        "`Retry-After`.",
    ),
}


class ProblemError(Exception):
    """A request is refused.

    Args:
        code: of `PROBLEMS`.
        detail: what is wrong with this request; nothing of what was sent.
        errors: (field, what it should hold) of a body.
        retry_after_s: when it may be sent again; 0: not said.
        key_id: whose request it was, for the access log.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        retry_after_s: float = 0.0,
        key_id: str = "",
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(detail)
        self.code, self.detail, self.errors = code, detail, errors
        self.retry_after_s, self.key_id, self.headers = retry_after_s, key_id, headers


@dataclass(frozen=True, slots=True)
class Response:
    """Status, body, its type, and further headers."""

    body: bytes
    media_type: bytes = b"application/json"
    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()


def problem_response(error: Exception, request_id: str) -> Response:
    """The response to a request that raised; what is unforeseen is a failure of the server, and is logged."""
    if isinstance(error, OverloadedError):
        error = ProblemError("overloaded", "the texts would wait too long", retry_after_s=error.retry_after_s)
    if not isinstance(error, ProblemError):  # by its place and kind: what it says may repeat a text
        place = traceback.extract_tb(error.__traceback__)[-1:]
        at = f"{place[0].filename}:{place[0].lineno}" if place else "?"
        _LOGGER.error("request %s failed: %s at %s", request_id, type(error).__name__, at)
        error = ProblemError("failed", "the request id finds it in the server's messages")
    problem = PROBLEMS[error.code]
    content: dict[str, object] = {
        "type": f"/problems/{error.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
    }
    if error.errors:
        content["errors"] = [{"field": field, "expected": what} for field, what in error.errors[:MAX_ERRORS]]
    headers = list(error.headers)
    if problem.status in (429, 503):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
    if problem.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return Response(orjson.dumps(content), MEDIA_TYPE, problem.status, headers)


def problem_text(code: str) -> str:
    """Documentation of a problem, in Markdown.

    >>> print(problem_text("not_allowed"))
    ## not_allowed
    <BLANKLINE>
    Status 405: The route has other methods. The header `Allow` lists them.
    <BLANKLINE>
    """
    problem = PROBLEMS[code]
    return f"## {code}\n\nStatus {problem.status}: {problem.title}. {problem.help}\n"
