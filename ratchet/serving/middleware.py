"""ASGI middleware of every request: request id, body limit, access log, metrics.

Plain ASGI, because a layer of Starlette's own middleware costs more than the routes do. Some routes are answered from
here, without passing through FastAPI at all.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.exceptions import HTTPException

from ratchet.serving.error_responses import error_response
from ratchet.serving.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Direct = Callable[[Mapping[bytes, bytes], bytes, dict[str, Any]], Awaitable[bytes]]
"""Answers a POST in JSON from its headers, its body and its state; what it raises becomes an error response."""
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_JSON = (b"content-type", b"application/json")
NOT_JSON = "the body must be JSON, and say so: Content-Type: application/json"


class RequestMiddleware:
    """Wraps an ASGI application."""

    def __init__(
        self,
        app: App,
        max_body_bytes: int,
        metrics: Metrics,
        log: Callable[[bytes], None] | None,
        direct: Mapping[str, Direct],
    ) -> None:
        self._app, self._max_body_bytes, self._metrics, self._log = app, max_body_bytes, metrics, log
        self._direct = direct

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, n_bytes, route = time.perf_counter(), 0, ""
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent.decode() if _ID.fullmatch(sent) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, key_id="", n_texts=0)
        sender = _ResponseSender(send, request_id.encode())
        try:
            body = await _read_body(receive, headers.get(b"content-length", b"0"), self._max_body_bytes)
            if body is None:
                await _send_too_large(sender, request_id, self._max_body_bytes)
                return
            n_bytes = len(body)
            direct = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
            if body and scope["path"].startswith("/v1/") and not is_json(headers.get(b"content-type", b"")):
                route = scope["path"] if direct else ""
                await error_response(HTTPException(415, NOT_JSON), request_id)(scope, receive, sender)
                return
            if direct is None:
                await self._app(scope, _replay_body(body, receive), sender)
                return
            route = scope["path"]
            try:
                answer = await direct(headers, body, state)
            except Exception as error:
                await error_response(error, request_id)(scope, receive, sender)
            else:
                length = (b"content-length", b"%d" % len(answer))
                await sender({"type": "http.response.start", "status": 200, "headers": (_JSON, length)})
                await sender({"type": "http.response.body", "body": answer})
        finally:
            seconds = time.perf_counter() - start
            route = route or getattr(scope.get("route"), "path", "other")  # never the path as sent: it may be anything
            self._metrics.count_request(route, sender.status, seconds)
            if self._log:
                self._log(
                    orjson.dumps(
                        {
                            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                            "request_id": request_id,
                            "method": scope["method"],
                            "route": route,
                            "status": sender.status,
                            "ms": round(1000 * seconds, 3),
                            "key_id": state["key_id"],
                            "n_texts": state["n_texts"],
                            "bytes": n_bytes,
                        }
                    )
                )


def is_json(content_type: bytes) -> bool:
    """Whether a body of this type is JSON.

    None is not: a page of somebody else's may have a browser send a body without a type, and it would not ask first.

    >>> is_json(b"application/json"), is_json(b"Application/Problem+JSON; charset=utf-8"), is_json(b"text/plain")
    (True, True, False)
    """
    if content_type == _JSON[1]:  # as nearly all clients send it
        return True
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == _JSON[1] or (kind.startswith(b"application/") and kind.endswith(b"+json"))


class _ResponseSender:
    """Sends a response with its request id, and remembers its status."""

    __slots__ = ("_request_id", "_send", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send, self._request_id = send, request_id
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
        await self._send(message)


async def _read_body(receive: Receive, length: bytes, max_bytes: int) -> bytes | None:
    """The whole body; None as soon as it is known to be too large."""
    if not length.isdigit() or int(length) > max_bytes:
        return None
    parts, n_bytes, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        n_bytes += len(part)
        if n_bytes > max_bytes:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then later messages, such as a disconnect."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _send_too_large(send: Send, request_id: str, max_body_bytes: int) -> None:
    content = {"error": f"the body has more than {max_body_bytes} bytes", "code": "too_large", "request_id": request_id}
    headers = [_JSON, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(content)})
