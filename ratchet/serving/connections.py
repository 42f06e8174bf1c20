"""Limits of connections: how many, how slow a head or a reader may be, how much comes unasked.

Uvicorn limits none of these. A connection has `header_timeout_s` from its first byte to the end of a request's head;
one that takes no bytes of its answer for `write_timeout_s` is cut; one that sends what nobody asked for is closed.
Beyond `max_connections` the one that has waited longest without a request is closed, those that never sent one first:
whoever holds connections open cannot keep others out, and a request that is being answered is never cut.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ratchet.serving.problems import ProblemError, Response, problem_response
from ratchet.serving.settings import ServeParams

_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
_MAX_PIPELINED = 16
"""Requests that wait on a connection for the answers to those before them; uvicorn takes as many as are sent."""
_PHRASES[503] = b"Service Unavailable"


class Pool:
    """The connections of a server that wait for a request."""

    def __init__(self, params: ServeParams, count_closed: Callable[[str], None]) -> None:
        self.params, self.count_closed = params, count_closed
        self.new: dict[GuardedProtocol, None] = {}
        """Those that never sent a whole head, the oldest first."""
        self.idle: dict[GuardedProtocol, None] = {}
        """Those that were answered, the oldest first."""

    def longest_waiting(self, besides: GuardedProtocol) -> GuardedProtocol | None:
        """The connection that is closed for a new one."""
        for waiting in (self.new, self.idle):
            for protocol in waiting:
                if protocol is not besides:
                    return protocol
        return None

    def forget(self, protocol: GuardedProtocol) -> None:
        """The connection waits no longer."""
        self.new.pop(protocol, None)
        self.idle.pop(protocol, None)


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 of uvicorn, within limits."""

    pool: Pool

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head: asyncio.TimerHandle | None = None
        self._write: asyncio.TimerHandle | None = None
        self._busy = False
        """From a request's head to the end of its answer."""
        self._in_body = False
        self._n_bytes = 0
        """Received since the last whole head or body."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for the connection, or refuse it."""
        super().connection_made(transport)
        self.pool.new[self] = None
        self._start_head_timer()
        if len(self.connections) > self.pool.params.max_connections:
            waiting = self.pool.longest_waiting(self)
            if waiting is None:
                self._refuse("unavailable", "there are too many connections")
            else:
                self.pool.count_closed("crowded")
                self.pool.forget(waiting)
                waiting.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.pool.forget(self)
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes: of a head within its time and size, of a body that is wanted; few of any other."""
        if not self._busy:
            params = self.pool.params
            if self._n_bytes > (2 * params.max_body_bytes if self._in_body else params.max_header_bytes):
                self._refuse("header_too_large", f"the head has more than {params.max_header_bytes} bytes")
                return
            self._n_bytes += len(data)
            self._start_head_timer()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A request: its answer is on the way."""
        self._stop_head_timer()
        self._n_bytes, self._busy, self._in_body = 0, True, True
        self.pool.forget(self)
        if len(self.pipeline) >= _MAX_PIPELINED:
            self.pool.count_closed("pipelined")
            raise ValueError  # the parser stops, and the connection with it
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The end of a body; where its answer was sent before, the connection is idle from now on."""
        super().on_message_complete()
        self._in_body = False
        if not self._busy:
            self._n_bytes = 0
            self._stop_head_timer()
            self._unset_keepalive_if_required()
            self._start_keep_alive_timer()

    def on_response_complete(self) -> None:
        """The end of an answer."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:  # else another request waits already, or the connection ends
            self._busy, self._n_bytes = False, 0
            self.pool.idle[self] = None
            if self._in_body:
                self._start_head_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, whether or not what was sent is read."""
        super().timeout_keep_alive_handler()
        self._write = self.loop.call_later(self.pool.params.write_timeout_s, self.transport.abort)

    def pause_writing(self) -> None:
        """The reader is slow: it has `write_timeout_s`."""
        super().pause_writing()
        self._stop_write_timer()
        self._write = self.loop.call_later(self.pool.params.write_timeout_s, self._cut)

    def resume_writing(self) -> None:
        """The reader goes on."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._send(ProblemError("malformed", "this is no request of HTTP/1.1"))

    def _start_head_timer(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(self.pool.params.header_timeout_s, self._too_slow)

    def _stop_head_timer(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _stop_write_timer(self) -> None:
        if self._write is not None:
            self._write.cancel()
            self._write = None

    def _start_keep_alive_timer(self) -> None:
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _too_slow(self) -> None:
        self._head = None
        if self._n_bytes and not self._in_body:
            self._refuse("too_slow", f"the head did not come within {self.pool.params.header_timeout_s:g} seconds")
        else:  # nothing was asked, or what was asked was answered
            self.pool.count_closed("silent")
            self.transport.abort()

    def _cut(self) -> None:
        self.pool.count_closed("unread")
        self.transport.abort()

    def _refuse(self, code: str, detail: str) -> None:
        self.pool.count_closed(code)
        self._send(ProblemError(code, detail, retry_after_s=1.0))

    def _send(self, problem: ProblemError) -> None:
        """Answer without an application, and close."""
        if self.transport.is_closing():
            return
        if self._busy:  # an answer is on the way: nothing may be mixed into it
            self.transport.abort()
            return
        request_id = secrets.token_hex(8)
        self.transport.write(_raw(problem_response(problem, request_id), request_id.encode()))
        self.transport.close()
        self._write = self.loop.call_later(self.pool.params.write_timeout_s, self.transport.abort)


def _raw(response: Response, request_id: bytes) -> bytes:
    """The bytes of a response that ends its connection."""
    headers = [
        (b"content-type", response.media_type),
        (b"content-length", b"%d" % len(response.body)),
        (b"connection", b"close"),
        (b"x-request-id", request_id),
        *response.headers,
    ]
    lines = [b"HTTP/1.1 %d %s" % (response.status, _PHRASES[response.status])]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", response.body])


def protocol_within(pool: Pool) -> type[GuardedProtocol]:
    """The protocol of a server's connections."""
    return type("Protocol", (GuardedProtocol,), {"pool": pool})
