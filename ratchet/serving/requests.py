"""Requests as handlers get them: body read within limits of time and size, decompressed, parsed, validated.

Nothing here makes an answer that grows with what was sent: a body has at most a handful of known fields, validation
stops at the first wrong item of a list, and five errors are named.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import pydantic

from ratchet.serving.problems import MAX_ERRORS, ProblemError
from ratchet.serving.schemas import Schema
from ratchet.serving.settings import ServeParams

SchemaT = TypeVar("SchemaT", bound=Schema)
_JSON = b"application/json"
_GZIP = 16 + zlib.MAX_WBITS
_LARGE = 100_000
"""Bytes of a body from which on it is decompressed beside the event loop, on which others wait."""


@dataclass(slots=True)
class Request:
    """A request whose key was accepted."""

    request_id: str
    headers: Mapping[bytes, bytes]
    """As ASGI has them: names in lower case."""
    path: Mapping[str, str]
    """Values of the path's parameters."""
    start: float
    """When it came, by `time.perf_counter`."""
    body: bytes = b""
    key_id: str = ""
    """Empty where none is needed."""
    owner: bytes = b""
    """Secret of the key's owner, which marks the ids of answers; empty where no key is needed."""
    n_texts: int = 0
    """For the access log."""
    spend: Any = field(default=None)
    """Function that charges the key for texts beyond the first."""


def is_json(content_type: bytes) -> bool:
    """Whether a body of this type is JSON.

    None is not: a page of somebody else's may have a browser send a body without a type, and it would not ask first.

    >>> is_json(b"application/json"), is_json(b"Application/Problem+JSON; charset=utf-8"), is_json(b"text/plain")
    (True, True, False)
    """
    if content_type == _JSON:  # as nearly all clients send it
        return True
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == _JSON or (kind.startswith(b"application/") and kind.endswith(b"+json"))


def check_head(headers: Mapping[bytes, bytes], binary: bool, params: ServeParams) -> None:
    """Refuse a body by what its head says of it.

    Raises:
        ProblemError: it has another type or encoding, or is too large.
    """
    length = headers.get(b"content-length", b"")
    if length and (not length.isdigit() or len(length) > 18 or int(length) > params.max_body_bytes):
        raise too_large(params)
    kind = headers.get(b"content-type", b"")
    has_body = length not in (b"", b"0") or b"transfer-encoding" in headers
    if has_body and not is_json(kind) and not (binary and kind in (b"", b"application/octet-stream")):
        raise ProblemError("wrong_type", "the body must be JSON, and say so: Content-Type: application/json")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b"gzip", b""):
        raise ProblemError("wrong_type", "the body may be encoded by gzip, and by nothing else")


async def read_body(receive: Any, headers: Mapping[bytes, bytes], params: ServeParams) -> bytes:
    """The whole body, decompressed.

    Raises:
        ProblemError: it comes too slowly, is too large, also once it is decompressed, or is no gzip.
    """
    try:
        message = await asyncio.wait_for(receive(), params.body_timeout_s)
        body = message.get("body", b"")
        if message.get("more_body", False):
            body = await asyncio.wait_for(_read_rest(receive, body, params), params.body_timeout_s)
    except TimeoutError:
        raise ProblemError("too_slow", f"the body did not come within {params.body_timeout_s:g} seconds") from None
    if len(body) > params.max_body_bytes:
        raise too_large(params)
    if headers.get(b"content-encoding", b"").strip().lower() == b"gzip":
        if len(body) < _LARGE:
            return gunzip(body, params)
        return await asyncio.to_thread(gunzip, body, params)
    return bytes(body)


def gunzip(body: bytes, params: ServeParams) -> bytes:
    """The decompressed body: no more of it is made than is allowed.

    Raises:
        ProblemError: it is no gzip, is cut off, has something behind it, or is too large.
    """
    reader = zlib.decompressobj(_GZIP)
    try:
        whole = reader.decompress(body, params.max_body_bytes + 1)
    except zlib.error:
        raise ProblemError("malformed", "the body is no gzip") from None
    if len(whole) > params.max_body_bytes:
        raise too_large(params)
    if not reader.eof or reader.unused_data:
        raise ProblemError("malformed", "the body is not one whole gzip stream")
    return whole


def parse(request: Request, schema: type[SchemaT], params: ServeParams) -> SchemaT:
    """The body, validated.

    Raises:
        ProblemError: it is no JSON object, or does not fit.
    """
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise ProblemError("invalid", "the body is no JSON in UTF-8", [("body", "JSON in UTF-8")]) from None
    if not isinstance(value, dict):
        raise ProblemError("invalid", "the body is no JSON object", [("body", "an object")])
    known = schema.model_fields
    if len(value) > len(known) or not known.keys() >= value.keys():
        raise ProblemError("invalid", "the body has fields that are unknown", [("body", f"only {', '.join(known)}")])
    texts = value.get("texts")
    if isinstance(texts, list) and len(texts) > params.max_texts:
        raise ProblemError("too_large", f"more than {params.max_texts} texts")
    try:
        return schema.model_validate(value)
    except pydantic.ValidationError as error:
        items = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
        errors = [(".".join(map(str, item["loc"])) or "body", item["msg"]) for item in items]
        detail = "; ".join(f"{where}: {what}" for where, what in errors)
        raise ProblemError("invalid", detail, errors) from None


def take_texts(request: Request, texts: list[str], params: ServeParams) -> list[str]:
    """The texts, counted and charged to the key.

    Raises:
        ProblemError: there are too many, one is too long, or the key has sent too many.
    """
    if len(texts) > params.max_texts:
        raise ProblemError("too_large", f"more than {params.max_texts} texts")
    if any(len(text) > params.max_text_characters for text in texts):
        raise ProblemError("too_large", f"a text of more than {params.max_text_characters} characters")
    if len(texts) > 1 and request.spend is not None:
        request.spend(len(texts) - 1)
    request.n_texts = len(texts)
    return texts


def too_large(params: ServeParams) -> ProblemError:
    """The problem of a body that is too large."""
    return ProblemError("too_large", f"the body has more than {params.max_body_bytes} bytes")


async def _read_rest(receive: Any, first: bytes, params: ServeParams) -> bytes:
    parts, n_bytes, more = [first], len(first), True
    while more and n_bytes <= params.max_body_bytes:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ProblemError("malformed", "the client went before its body had come")
        parts.append(message.get("body", b""))
        n_bytes += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)


def now() -> float:
    """The clock of `Request.start`."""
    return time.perf_counter()
