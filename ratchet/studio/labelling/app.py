"""The labelling view's routes: a page a text, a form a page, an address for every text one may come back to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from ratchet.errors import MissingExtraError, TableError
from ratchet.labels.guidelines import NONE, Guidelines
from ratchet.reporting.templates import render_template
from ratchet.studio.guard import Application, Guard
from ratchet.studio.labelling.desk import SKIP, Desk, Task
from ratchet.studio.labelling.progress import progress

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

KEYS = "1234567890abcdefghijklmnopqrtvwxyz"
"""Of the classes, in their order; `s` skips and `u` undoes."""
MAX_FORM = 64_000
"""Bytes of a form."""
OPEN_PAGES = 10_000
"""Pages of which the server knows when they were shown."""
SCRIPT = Path(__file__).with_name("keys.js")


def make_app(
    desk: Desk, tokens: Mapping[str, str], port: int, guidelines: Guidelines = NONE, hours_wage: float = 0.0
) -> Application:
    """The application, guarded.

    Args:
        desk: what people work at.
        tokens: person → their token.
        port: of loopback.
        guidelines: what people keep to.
        hours_wage: USD an hour of people's time; 0: it is not told.

    Raises:
        MissingExtraError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise MissingExtraError("The labelling view needs Starlette.", fix="pip install 'ratchet[studio]'") from None
    pages = Pages(desk, guidelines, hours_wage)
    routes = [
        Route("/", pages.next),
        Route("/text/{name}", pages.text),
        Route("/text/{name}", pages.answer, methods=["POST"]),
        Route("/undo", pages.undo),
        Route("/progress", pages.progress),
        Route("/keys.js", pages.script),
    ]
    return Guard(Starlette(routes=routes), tokens, port, writes=True)


class Pages:
    """The pages of one desk. Starlette runs those that do not wait for a form in threads."""

    def __init__(
        self, desk: Desk, guidelines: Guidelines, hours_wage: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk, self._guidelines, self._hours_wage, self._clock = desk, guidelines, hours_wage, clock
        self._shown: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def next(self, request: Request) -> Response:
        """`GET /`: the text that this person is asked about now."""
        task = self._desk.next(_person(request))
        if task is None:
            return _html(self._progress(_person(request), is_done=True))
        return self._page(request, task)

    def text(self, request: Request) -> Response:
        """`GET /text/ID`: a text to come back to."""
        task = self._desk.again(_person(request), request.path_params["name"])
        return _redirect("/") if task is None else self._page(request, task)

    def undo(self, request: Request) -> Response:
        """`GET /undo`: the text that was answered before, with its answer to change."""
        before = request.query_params.get("before", "")
        name = self._desk.previous(_person(request), before)
        return _redirect(f"/text/{quote(name)}" if name else "/")

    async def answer(self, request: Request) -> Response:
        """`POST /text/ID`: keep an answer; then the next text."""
        from starlette.concurrency import run_in_threadpool

        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                return _message("The form is too long", f"A comment may have {MAX_FORM // 4:,} characters.", 413)
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        person, name = _person(request), request.path_params["name"]
        label = form.get("label", "").strip() or form.get("find", "").strip()
        if not label:
            return _redirect(f"/text/{quote(name)}")
        with self._lock:
            shown_at = self._shown.pop((person, name), None)
        seconds = float("nan") if shown_at is None else self._clock() - shown_at
        words = (form.get("comment", ""), form.get("change_reason", ""))
        is_shown = form.get("shown") == "1"
        try:
            await run_in_threadpool(self._desk.answer, person, name, label, *words, is_shown, seconds)
        except TableError as error:
            return _message("This answer cannot be kept", str(error), 400)
        except OSError as error:
            fix = "Make room, or correct the folder's permissions, and send it again with the browser's Back."
            return _message(f"The answer could not be written: {error.strerror}", fix, 507)
        return _redirect("/")

    def progress(self, request: Request) -> Response:
        """`GET /progress`: what was done, how people agree, what suggestions do to them."""
        return _html(self._progress(_person(request), is_done=False))

    def script(self, request: Request) -> Response:
        """`GET /keys.js`: the script that makes keys press buttons."""
        from starlette.responses import Response

        return Response(SCRIPT.read_bytes(), media_type="text/javascript")

    def _page(self, request: Request, task: Task) -> Response:
        person = _person(request)
        with self._lock:
            self._shown[person, task.item.id] = self._clock()
            while len(self._shown) > OPEN_PAGES:
                self._shown.pop(next(iter(self._shown)))
        values: dict[str, Any] = {
            "task": task,
            "keys": dict(zip(task.labels, KEYS, strict=False)),
            "person": person,
            "sections": self._guidelines.classes,
            "guidelines": self._guidelines.text,
            "previous": self._desk.previous(person, task.item.id if task.given else ""),
            "skip": SKIP,
            "n_done": len(self._desk.answers(person)),
        }
        return _html(render_template("label_text.html", **values))

    def _progress(self, person: str, is_done: bool) -> str:
        found = progress(self._desk, self._hours_wage)
        return render_template("label_progress.html", person=person, is_done=is_done, found=found)


def _person(request: Request) -> str:
    return str(request.scope["state"]["person"])


def _html(page: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(page, status)


def _redirect(to: str) -> Response:
    from starlette.responses import RedirectResponse

    return RedirectResponse(to, 303)


def _message(what: str, fix: str, status: int) -> Response:
    return _html(render_template("studio_message.html", view="", what=what, fix=fix), status)
