"""Routes: one table of path, scope, schemas and handler, from which requests are dispatched and the OpenAPI is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import pydantic

from ratchet.serving.auth import Scope
from ratchet.serving.problems import ProblemError, Response
from ratchet.serving.requests import Request

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """A method of a path."""

    method: str
    path: str
    """`/v2/models/{name}/infer`: a parameter in braces is one segment."""
    handle: Handler
    summary: str
    scope: Scope | None = None
    """None: anybody may ask."""
    accepts: type[pydantic.BaseModel] | None = None
    """Schema of the body; none: there is none."""
    returns: type[pydantic.BaseModel] | None = None
    """Schema of the answer; none: an object or a text without a schema."""
    status: int = 200
    """Of the answer."""
    also: Sequence[int] = ()
    """Other statuses of an answer that is no problem."""
    problems: Sequence[str] = ()
    """Problems beyond those of each route with its scope and body."""
    binary: bool = False
    """Whether bodies may be of `application/octet-stream`, or of no type."""
    media_type: str = "application/json"

    @property
    def model_parameter(self) -> str:
        """Name of the path's parameter that names a model; empty where there is none."""
        return next((name for name in ("model", "name") if f"{{{name}}}" in self.path), "")


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._exact: dict[str, dict[str, Route]] = {}
        self._by_length: dict[int, list[tuple[list[str], dict[str, Route]]]] = {}
        for route in routes:
            if "{" not in route.path:
                self._exact.setdefault(route.path, {})[route.method] = route
                continue
            segments = route.path.split("/")
            same_length = self._by_length.setdefault(len(segments), [])
            methods = next((methods for known, methods in same_length if known == segments), None)
            if methods is None:
                same_length.append((segments, methods := {}))
            methods[route.method] = route

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route, and the values of its path's parameters.

        Raises:
            ProblemError: there is none, or it has other methods.
        """
        parameters: dict[str, str] = {}
        methods = self._exact.get(path)
        if methods is None:
            methods, parameters = self._match(path)
        if methods is None:
            raise ProblemError("not_found", "there is no such route")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
            raise ProblemError("not_allowed", f"the route has {allowed}", headers=[(b"allow", allowed.encode())])
        return route, parameters

    def _match(self, path: str) -> tuple[dict[str, Route] | None, dict[str, str]]:
        given = path.split("/")
        for segments, methods in self._by_length.get(len(given), ()):
            pairs = list(zip(segments, given, strict=True))
            if all(value and (name.startswith("{") or name == value) for name, value in pairs[1:]):
                return methods, {name[1:-1]: value for name, value in pairs if name.startswith("{")}
        return None, {}
