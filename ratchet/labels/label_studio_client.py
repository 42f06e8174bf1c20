"""Label Studio's REST API: one request, its answer as JSON, and what is wrong where it is none.

Source: https://api.labelstud.io; measured against Label Studio 1.23.2. Its SDK does not install beside numpy 2.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ratchet.errors import SourceError

TIMEOUT_S = 60.0
EXPORT_TIMEOUT_S = 600.0
"""The server writes an export whole before it sends its first byte."""


class Client:
    """A server and who asks it."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        """Args:
        url: the server's.
        token: a user's access token, legacy or personal; goes into a header and nowhere else.
        transport: for tests.
        """
        self._url, self._token, self._transport = url, token, transport

    def ask(self, method: str, path: str, timeout: float = TIMEOUT_S, **options: Any) -> Any:
        """The server's answer as JSON.

        Raises:
            SourceError: it cannot be reached, refuses, or answers something else; the message never holds the token.
        """
        try:
            with httpx.Client(base_url=self._url, timeout=timeout, transport=self._transport) as client:
                reply = client.request(method, path, headers=_authorization(client, self._token), **options)
        except httpx.ReadTimeout:
            raise SourceError(
                "The Label Studio server does not answer in time.",
                where=f"{self._url}, {method} {path}",
                got=f"nothing in {timeout:.0f} s",
                fix="the same command again: what has arrived is not sent twice",
            ) from None
        except httpx.HTTPError as error:
            raise SourceError(
                "The Label Studio server does not answer.",
                where=self._url,
                got=type(error).__name__,
                fix="start it (`make labels-server`), or correct LABEL_STUDIO_URL; then the same command again",
            ) from None
        if problem := _problem(reply):
            message, got, fix = problem
            raise SourceError(message, where=f"{self._url}, {method} {path}", got=got, fix=fix)
        return None if reply.status_code == httpx.codes.NO_CONTENT else reply.json()


def _problem(reply: httpx.Response) -> tuple[str, str, str] | None:
    """What is wrong with a reply: message, what came, what to do; None when it is JSON and no error."""
    status, start = f"HTTP {reply.status_code}", " ".join(reply.text[:300].split())
    if reply.status_code in (401, 403):
        return "Label Studio refuses the token.", status, "put a valid access token into LABEL_STUDIO_TOKEN"
    if reply.is_redirect:
        to = reply.headers.get("Location", "").split("?")[0]
        got = f"{status} to {to}"
        return "Label Studio sends the request elsewhere.", got, "name the address it sends to in LABEL_STUDIO_URL"
    if reply.is_server_error:
        return "The Label Studio server fails.", f"{status}: {start}", "see its log; then the same command again"
    if reply.is_error:
        return "Label Studio refuses the request.", f"{status}: {start}", ""
    if reply.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        reply.json()
    except ValueError:
        page = "a web page, such as a login" if "<html" in reply.text[:2000].lower() else f"no JSON: {start}"
        fix = "name the server itself in LABEL_STUDIO_URL, without a proxy that asks for a login"
        return "This is not Label Studio's interface.", f"{status}, {page}", fix
    return None


def expected(answer: Any, name: str, kind: type, path: str) -> Any:
    """The value of a key that the answer must have.

    Raises:
        SourceError: it has none, or one of another type.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get(name), kind):
        raise unexpected(path, answer, f"an object with `{name}`")
    return answer[name]


@contextmanager
def reading(path: str, answer: Any) -> Iterator[None]:
    """Reading of an answer whose parts may be of any type.

    Raises:
        SourceError: one is of another type than it must be.
    """
    try:
        yield
    except (TypeError, AttributeError, KeyError, IndexError, ValueError, OverflowError) as error:
        wanted = f"what Label Studio documents ({type(error).__name__}: {error})"
        raise unexpected(path, answer, wanted) from None


def unexpected(path: str, answer: Any, wanted: str) -> SourceError:
    """The error of an answer of another shape."""
    return SourceError(
        "Label Studio answers something else than expected.",
        where=path,
        got=str(answer)[:300],
        expected=wanted,
        fix="see that LABEL_STUDIO_URL names a Label Studio server of version 1",
    )


def _authorization(client: httpx.Client, token: str) -> dict[str, str]:
    """A personal access token is a refresh token: it is changed for one that lives some minutes."""
    if token.count(".") != 2:
        return {"Authorization": f"Token {token}"}
    reply = client.post("/api/token/refresh", json={"refresh": token})
    try:
        access = reply.json().get("access", "") if reply.is_success else ""
    except (ValueError, AttributeError):  # a login page, or another server: the request itself will tell
        access = ""
    return {"Authorization": f"Bearer {access}"}
