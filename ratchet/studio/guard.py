"""Who may ask the studio: this machine's browser with a token; no page may load anything from elsewhere.

A browser that visits another site must not become that site's reader or pen. Its name for this address (DNS rebinding)
is not among the hosts answered, its requests carry no cookie (`SameSite=Strict`), and the studio has no method that
changes something; the labelling view has one, for forms of its own pages alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from ratchet.reporting.templates import render_template

if TYPE_CHECKING:
    from starlette.requests import Request
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
WITH_SCRIPT = HEADERS["content-security-policy"].replace("style-src", "script-src 'self'; style-src")
"""Where people label: the one script that is served here makes keys press buttons."""
METHODS = ("GET", "HEAD")


class Guard:
    """Middleware that lets through reading requests of this machine's own name with a token's cookie.

    Where people write, each has a token of their own, and what they send must come from a page of this address.
    """

    def __init__(
        self, app: Application, tokens: Mapping[str, str], port: int, guests: bool = False, writes: bool = False
    ) -> None:
        """Args:
        app: what is guarded; `scope["state"]["person"]` tells it who asks.
        tokens: person → their token.
        port: of loopback.
        guests: whether everybody on this machine may read.
        writes: whether people with a token may send forms, and the page's own script runs.
        """
        self._app, self._tokens, self._guests, self._writes = app, tokens, guests, writes
        self._cookie = f"ratchet_studio_{port}"  # cookies do not know ports
        self._headers = {**HEADERS, "content-security-policy": WITH_SCRIPT} if writes else HEADERS
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refusal(scope)
            await (refused or self._app)(scope, receive, _with_headers(send, self._headers))

    def _refusal(self, scope: Message) -> Response | None:
        """The answer to a request that is not handed on; a token in the address becomes a cookie."""
        from starlette.requests import Request
        from starlette.responses import RedirectResponse

        request = Request(scope)
        if request.headers.get("host", "") not in self._hosts:
            return _refused(421, "This address has another name", "Open the address that `ratchet studio` printed.")
        if request.method not in METHODS and not (self._writes and request.method == "POST"):
            return _refused(405, "The studio writes nothing", "Every view names the command that does.")
        given = request.query_params.get("token")
        if given is not None and self._person(given) is not None:
            rest = request.url.remove_query_params("token")
            path = "/" + rest.path.lstrip("/")  # never `//elsewhere`
            answer = RedirectResponse(path + (f"?{rest.query}" if rest.query else ""), 303)
            answer.set_cookie(self._cookie, given, httponly=True, samesite="strict", path="/")
            return answer
        person = self._person(request.cookies.get(self._cookie, ""))
        scope.setdefault("state", {})["person"] = person
        if request.method == "POST" and not self._is_own_page(request):
            return _refused(403, "This was sent by another page", "Send it from the page that asks.")
        if person is not None or (self._guests and request.method in METHODS):
            return None
        return _refused(403, "The token is missing", "Open the address that `ratchet studio` printed when it started.")

    def _person(self, given: str) -> str | None:
        """Whose token this is; every one is compared, so that time tells nothing."""
        found = [name for name, token in self._tokens.items() if _same(given, token)]
        return found[0] if found else None

    def _is_own_page(self, request: Request) -> bool:
        """Whether the browser says that a page of this address sent the form."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        own = origin in {f"http://{host}" for host in self._hosts}
        return own if origin is not None else site in ("same-origin", None)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _refused(status: int, what: str, fix: str) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(render_template("studio_message.html", view="", what=what, fix=fix), status)


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    """The sender that adds the headers to every answer."""
    extra = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return guarded
