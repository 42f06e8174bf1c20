"""Who may ask the studio: this machine's browser with the token; nobody may write, and no page may load from elsewhere.

A browser that visits another site must not become that site's reader. Its name for this address (DNS rebinding) is not
among the hosts answered, its requests carry no cookie (`SameSite=Strict`), and no method that changes something exists.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ratchet.reporting.templates import render_template

if TYPE_CHECKING:
    from starlette.responses import Response

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer: no script runs, nothing is fetched, no other site frames or reads it, no text stays in a cache."""
METHODS = ("GET", "HEAD")


class Guard:
    """Middleware that lets through reading requests of this machine's own name with the token's cookie."""

    def __init__(self, app: Application, token: str, port: int, guests: bool) -> None:
        self._app, self._token, self._guests = app, token, guests
        self._cookie = f"ratchet_studio_{port}"  # cookies do not know ports
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refusal(scope)
            await (refused or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Message) -> Response | None:
        """The answer to a request that is not handed on; a token in the address becomes a cookie."""
        from starlette.requests import Request
        from starlette.responses import RedirectResponse

        request = Request(scope)
        if request.headers.get("host", "") not in self._hosts:
            return _refused(421, "This address has another name", "Open the address that `ratchet studio` printed.")
        if request.method not in METHODS:
            return _refused(405, "The studio writes nothing", "Every view names the command that does.")
        given = request.query_params.get("token")
        if given is not None and _same(given, self._token):
            rest = request.url.remove_query_params("token")
            path = "/" + rest.path.lstrip("/")  # never `//elsewhere`
            answer = RedirectResponse(path + (f"?{rest.query}" if rest.query else ""), 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return answer
        if self._guests or _same(request.cookies.get(self._cookie, ""), self._token):
            return None
        return _refused(403, "The token is missing", "Open the address that `ratchet studio` printed when it started.")


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _refused(status: int, what: str, fix: str) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(render_template("studio_message.html", view="", what=what, fix=fix), status)


def _with_headers(send: Send) -> Send:
    """The sender that adds `HEADERS` to every answer."""
    extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return guarded
