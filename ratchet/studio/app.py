"""The studio's routes: a page a view, rendered on the server, without a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ratchet.errors import MissingExtraError, RatchetError
from ratchet.reporting.change import Change
from ratchet.reporting.outline import outline
from ratchet.reporting.templates import render_template
from ratchet.studio.guard import Application, Guard
from ratchet.studio.production import production_view, window_page
from ratchet.studio.releases import releases_view
from ratchet.studio.texts import choices, find_texts, one_text, parse_asked
from ratchet.studio.trying import MAX_CHARACTERS, Trying
from ratchet.studio.views import default_bundle, errors_view, run_view
from ratchet.studio.workspace import HIDDEN_KEYS, Workspace

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Compare = Callable[[str, str], Change]
"""Revision before, revision after (empty: the working tree) → the review of the change."""
NO_TEXTS = ("There are no texts here yet", "Run `make run`; in a clone of a repository that has run, `dvc pull`.")


def make_app(workspace: Workspace, token: str, port: int, compare: Compare, guests: bool = False) -> Application:
    """The application, guarded; `guests` lets others on this machine read without the token.

    Raises:
        MissingExtraError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise MissingExtraError("The studio needs Starlette.", fix="pip install 'ratchet[studio]'") from None
    pages = Pages(workspace, compare)
    routes = [
        Route("/", pages.run),
        Route("/texts", pages.texts),
        Route("/texts/{row:int}", pages.text),
        Route("/errors", pages.errors),
        Route("/try", pages.try_text),
        Route("/compare", pages.compare),
        Route("/production", pages.production),
        Route("/production/windows/{number:int}", pages.window),
        Route("/releases", pages.releases),
        Route("/reports", pages.reports),
        Route("/reports/{name}", pages.report),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={404: _unknown}), {"": token}, port, guests)


class Pages:
    """The views of one workspace. Starlette runs each in a thread of its own."""

    def __init__(self, workspace: Workspace, compare: Compare) -> None:
        self._workspace, self._compare = workspace, compare
        self._trying = Trying(workspace.paths.models)

    def run(self, request: Request) -> Response:
        """`GET /`: verdict, ladder, front, gates."""
        found = run_view(self._workspace)
        if found is None:
            return _message("run", "No run has ended here yet", "Run `make run`, and open this page again.")
        return _html(render_template("studio_run.html", view="run", **found))

    def texts(self, request: Request) -> Response:
        """`GET /texts`: a page of the texts that the address asks for."""
        if not self._workspace.has_texts():
            return _message("texts", *NO_TEXTS)
        asked = parse_asked(request.query_params, default_bundle(self._workspace))
        found = find_texts(self._workspace, asked)
        offered = choices(self._workspace)
        return _html(render_template("studio_texts.html", view="texts", asked=asked, choices=offered, **found))

    def text(self, request: Request) -> Response:
        """`GET /texts/ROW`: one text."""
        row = request.path_params["row"]
        found = one_text(self._workspace, row) if self._workspace.has_texts() and row < 2**63 else None
        if found is None:
            return _message("texts", "No such text is shown", "The sealed test's texts are not.", 404)
        return _html(render_template("studio_text.html", view="texts", **found))

    def errors(self, request: Request) -> Response:
        """`GET /errors`: confusions, slices, partings, suspects."""
        if not self._workspace.has_texts():
            return _message("errors", *NO_TEXTS)
        bundles = choices(self._workspace)["bundle"]
        if not bundles:
            return _message("errors", "No bundle has been evaluated yet", "Run `make run`.")
        default = default_bundle(self._workspace)
        bundle = _one_of(request.query_params.get("bundle", ""), bundles, default if default in bundles else bundles[0])
        fallback = "teacher" if "teacher" in bundles and bundle != "teacher" else ""
        against = _one_of(request.query_params.get("against", fallback), bundles, "")
        found = errors_view(self._workspace, bundle, against)
        shown: dict[str, Any] = {"view": "errors", "bundle": bundle, "against": against, "bundles": bundles}
        return _html(render_template("studio_errors.html", **shown, **found))

    def try_text(self, request: Request) -> Response:
        """`GET /try`: a text of one's own through one bundle, or two."""
        bundles = self._trying.names()
        if not bundles:
            return _message("try", "There is no bundle here yet", "Run `make run`; in a clone, `dvc pull`.")
        default = default_bundle(self._workspace)
        bundle = _one_of(request.query_params.get("bundle", ""), bundles, default if default in bundles else bundles[0])
        against = _one_of(request.query_params.get("against", ""), bundles, "")
        text, answers, error = request.query_params.get("text", ""), [], ""
        for name in dict.fromkeys(filter(None, (bundle, against))) if text.strip() else ():
            try:
                answers.append(self._trying.answer(name, text))
            except RatchetError as caught:
                error = str(caught)
        shown: dict[str, Any] = {"view": "try", "bundle": bundle, "against": against, "bundles": bundles}
        shown |= {"text": text, "answers": answers, "error": error, "max_characters": MAX_CHARACTERS}
        return _html(render_template("studio_try.html", **shown))

    def compare(self, request: Request) -> Response:
        """`GET /compare`: what `ratchet diff` says of two revisions."""
        base, head = (request.query_params.get(name, "").strip()[:200] for name in ("base", "head"))
        change, error = None, ""
        if base:
            try:
                change = self._compare(base, head)
            except RatchetError as caught:
                error = str(caught)
        shown: dict[str, Any] = {
            "view": "compare",
            "base": base or "HEAD",
            "head": head,
            "change": change,
            "error": error,
        }
        return _html(render_template("studio_compare.html", **shown))

    def production(self, request: Request) -> Response:
        """`GET /production`: windows, alerts, the rollout, the cost."""
        found = production_view(self._workspace.paths.root, self._workspace.paths.reports)
        return _html(render_template("studio_production.html", view="production", **found))

    def window(self, request: Request) -> Response:
        """`GET /production/windows/N`: what moved in a window."""
        page = window_page(self._workspace.paths.reports, request.path_params["number"])
        if page is None:
            return _message("production", "There is no such window", "`/production` lists them.", 404)
        return _html(page)

    def releases(self, request: Request) -> Response:
        """`GET /releases`: versions, roles, rights, the audit log."""
        return _html(
            render_template("studio_releases.html", view="releases", **releases_view(self._workspace.paths.root))
        )

    def reports(self, request: Request) -> Response:
        """`GET /reports`: the names of the reports."""
        names = self._workspace.report_names()
        if not names:
            return _message("reports", "No run has written a report yet", "Run `make run`.")
        return _html(render_template("studio_reports.html", view="reports", names=names))

    def report(self, request: Request) -> Response:
        """`GET /reports/NAME`: a report with its command and its file."""
        name = request.path_params["name"]
        if name not in self._workspace.report_names():
            return _message("reports", "There is no such report", "`/reports` lists them.", 404)
        report = self._workspace.evaluation() if name == "evaluate" else self._workspace.report(name)
        shown = {key: value for key, value in report.items() if key not in HIDDEN_KEYS}
        file = (self._workspace.paths.reports / f"{name}.json").relative_to(self._workspace.paths.root)
        values = {"name": name, "outlined": outline(shown), "command": report.get("command", ""), "file": file}
        return _html(render_template("studio_report.html", view="reports", **values))


def _one_of(given: str, known: list[str], default: str) -> str:
    return given if given in known else default


def _html(page: str, status: int = 200) -> Response:
    from starlette.responses import HTMLResponse

    return HTMLResponse(page, status)


def _message(view: str, what: str, fix: str, status: int = 200) -> Response:
    return _html(render_template("studio_message.html", view=view, what=what, fix=fix), status)


async def _unknown(request: Request, error: Exception) -> Response:
    return _message("", "There is no such page", "The views are linked above.", 404)
