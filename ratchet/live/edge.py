"""What surrounds every request: its id, the limit of its body, its line in the access log, its place in the metrics.

Plain ASGI, because a layer of Starlette's own middleware costs more than the routes do.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

from ratchet.live.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class Edge:
    """Wraps an ASGI application."""

    def __init__(self, app: App, max_body_bytes: int, metrics: Metrics, log: Callable[[str], None] | None) -> None:
        self._app, self._max_body_bytes, self._metrics, self._log = app, max_body_bytes, metrics, log

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, n_bytes = time.perf_counter(), 500, 0
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"")
        request_id = sent.decode() if _ID.fullmatch(sent) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, key_id="", n_texts=0)

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            body = await _read_body(receive, headers.get(b"content-length", b"0"), self._max_body_bytes)
            if body is None:
                await _refuse(send_marked, request_id, self._max_body_bytes)
            else:
                n_bytes = len(body)
                await self._app(scope, _once(body, receive), send_marked)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "other")  # never the path as sent: it may be anything
            self._metrics.count_request(route, status, seconds)
            if self._log:
                self._log(json.dumps(
                    {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "request_id": request_id,
                     "method": scope["method"], "route": route, "status": status, "ms": round(1000 * seconds, 3),
                     "key_id": state["key_id"], "n_texts": state["n_texts"], "bytes": n_bytes}
                ))  # fmt: skip


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


def _once(body: bytes, receive: Receive) -> Receive:
    """Gives the body that was read, then what comes: that the client went away."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, request_id: str, max_body_bytes: int) -> None:
    told = {"error": f"the body has more than {max_body_bytes} bytes", "code": "too_large", "request_id": request_id}
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
