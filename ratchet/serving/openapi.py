"""The OpenAPI document, made from the table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic
from pydantic.json_schema import models_json_schema

from ratchet.serving.problems import PROBLEMS
from ratchet.serving.routes import Route
from ratchet.serving.schemas import ProblemDetails
from ratchet.serving.settings import ServeParams

_REF = "#/components/schemas/{model}"
_ALWAYS = ("failed", "malformed", "header_too_large")


def document(routes: Sequence[Route], params: ServeParams, labels: Sequence[str]) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes, with the limits of this server and the classes of its first model."""
    schemas = _schemas(routes, params, labels)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ratchet", "version": "1", "description": "A classifier of texts."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def problem_codes(route: Route) -> list[str]:
    """Codes of the problems that a route can answer with."""
    codes = [*_ALWAYS, *route.problems]
    if route.scope is not None:
        codes += ["unauthorized", "forbidden", "rate_limited", "unavailable"]
    if route.accepts is not None:
        codes += ["too_slow", "too_large", "wrong_type", "invalid"]
    if "{" in route.path:
        codes.append("not_found")
    return sorted(set(codes), key=list(PROBLEMS).index)


def _operation(route: Route) -> dict[str, Any]:
    answer = {"description": "The answer.", "content": {route.media_type: {"schema": _answer_schema(route)}}}
    if route.binary:
        answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}  # type: ignore[index]
    responses = {str(status): answer for status in (route.status, *route.also)}
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model="ProblemDetails")}}}
    by_status: dict[int, list[str]] = {}
    for code in problem_codes(route):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in by_status.items():
        about = " ".join(f"`{code}`: {PROBLEMS[code].title}." for code in codes)
        if str(status) in responses:
            responses[str(status)] = {**answer, "content": {**answer["content"], **problem}}  # type: ignore[dict-item]
        else:
            responses[str(status)] = {"description": about, "content": problem}
    operation: dict[str, Any] = {"summary": route.summary, "operationId": _name(route), "responses": responses}
    if route.scope is not None:
        operation["security"] = [{"bearer": []}, {"header": []}]
        operation["description"] = f"Needs the scope `{route.scope}`."
    if "{" in route.path:
        names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
        schema = {"type": "string", "minLength": 1}
        operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
    if route.accepts is not None:
        schema = {"$ref": _REF.format(model=route.accepts.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _answer_schema(route: Route) -> dict[str, Any]:
    if route.returns is not None:
        return {"$ref": _REF.format(model=route.returns.__name__)}
    return {"type": "object"} if route.media_type == "application/json" else {"type": "string"}


def _name(route: Route) -> str:
    return "_".join([route.method.lower(), *(part.strip("{}") for part in route.path.split("/") if part)])


def _schemas(routes: Sequence[Route], params: ServeParams, labels: Sequence[str]) -> dict[str, Any]:
    used: dict[type[pydantic.BaseModel], Any] = {ProblemDetails: "serialization"}
    used |= {route.accepts: "validation" for route in routes if route.accepts is not None}
    used |= {route.returns: "serialization" for route in routes if route.returns is not None}
    _, whole = models_json_schema(list(used.items()), ref_template=_REF)
    schemas: dict[str, Any] = whole["$defs"]
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            _without_null(field)
    for name in ("PredictRequest", "ExplainRequest"):
        for field in schemas[name]["properties"].values():
            if field.get("type") == "array":
                field["maxItems"] = params.max_texts
                field["items"]["maxLength"] = params.max_text_characters
        schemas[name]["properties"]["text"]["maxLength"] = params.max_text_characters
    schemas["FeedbackRequest"]["properties"]["label"]["enum"] = list(labels)
    return schemas


def _without_null(field: dict[str, Any]) -> None:
    """A field that may be left out, and not be null."""
    options = [option for option in field.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del field["anyOf"]
        field.pop("default", None)
        field.update(options[0])
