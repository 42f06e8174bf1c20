"""The Open Inference Protocol, version 2, as KServe and Triton speak it over HTTP: for clients that exist already.

One input `text` (BYTES, one text each), two outputs: `label` (BYTES, [n]) and `proba` (FP32, [n, classes]). Tensors
come and go as JSON or, with the binary data extension, after the JSON.
Source: https://github.com/kserve/open-inference-protocol and Triton's binary tensor data extension.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from ratchet.models.predictor import Proba

HEADER = "inference-header-content-length"
_MAX_DIMENSIONS, _N_OUTPUTS = 8, 2
SERVER = {"name": "ratchet", "version": "2", "extensions": ["binary_tensor_data"]}


class InputTensor(BaseModel):
    """The input `text`: as many texts as its shape says."""

    name: Literal["text"]
    datatype: Literal["BYTES"]
    shape: list[int]
    data: list[str]


class InferRequest(BaseModel):
    """A request for inference, as JSON; see the protocol for tensors after the JSON."""

    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    id: str = ""


class BadInputError(Exception):
    """The request violates the protocol, or does not fit the model."""


def model_metadata(name: str, version: str, n_classes: int) -> dict[str, Any]:
    """Model metadata, as the protocol defines it."""
    return {
        "name": name,
        "versions": [version],
        "platform": "ratchet",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "proba", "datatype": "FP32", "shape": [-1, n_classes]},
        ],
    }


def read_request(body: bytes, header_length: str | None, max_texts: int) -> tuple[dict[str, Any], list[str]]:
    """The request's JSON, and its texts; where there are more than `max_texts`, one more than that and no further.

    Raises:
        BadInputError: it has no input `text` of type BYTES with as many texts as its shape says, or its outputs or
            parameters are no objects.
    """
    try:
        at = int(header_length) if header_length is not None else len(body)
        request = orjson.loads(body[:at])
        [tensor] = request["inputs"]
        name, kind, shape = tensor["name"], tensor["datatype"], tensor["shape"]
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        if (name, kind) != ("text", "BYTES"):
            raise BadInputError("expected one input text of BYTES")
        packed = None if size is None else body[at : at + size]
        found = _flat(tensor["data"]) if packed is None else unpack(packed)
        if packed is None and not isinstance(tensor["data"], list):
            raise BadInputError("the data of the input text is no list")
        texts = list(itertools.islice(found, max_texts + 1))
        fits = len(shape) <= _MAX_DIMENSIONS and all(type(n) is int for n in shape) and _outputs_fit(request)
        fits = fits and (len(texts) > max_texts or len(texts) == math.prod(shape))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error):
        raise BadInputError("the request is no inference request of version 2 with one input text") from None
    if not fits or not texts or not all(isinstance(text, str) for text in texts):
        raise BadInputError("the input text does not have its shape or holds something else, or outputs are no objects")
    return request, texts


def write_response(
    request: dict[str, Any], name: str, version: str, labels: Sequence[str], proba: Proba
) -> tuple[bytes, int | None]:
    """The response's body, and the length of its JSON where tensors follow it.

    Raises:
        BadInputError: an output was asked for that there is not.
    """
    chosen = [labels[best] for best in proba.argmax(axis=1)]
    n_texts, n_classes = proba.shape
    all_outputs = {"label": ("BYTES", [n_texts]), "proba": ("FP32", [n_texts, n_classes])}
    as_binary = bool((request.get("parameters") or {}).get("binary_data_output"))
    wanted = request.get("outputs") or [{"name": output} for output in all_outputs]
    outputs, tail = [], b""
    for output in wanted:
        if (of := output.get("name")) not in all_outputs:
            raise BadInputError("the outputs are label and proba, and no other")
        kind, shape = all_outputs[of]
        tensor: dict[str, Any] = {"name": of, "datatype": kind, "shape": shape}
        if (output.get("parameters") or {}).get("binary_data", as_binary):
            packed = pack(chosen) if of == "label" else proba.astype("<f4").tobytes()
            tensor["parameters"] = {"binary_data_size": len(packed)}
            tail += packed
        else:
            tensor["data"] = chosen if of == "label" else proba.ravel().tolist()
        outputs.append(tensor)
    response: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": outputs}
    if "id" in request:
        response["id"] = request["id"]
    head = orjson.dumps(response)
    return (head + tail, len(head)) if tail else (head, None)


def pack(texts: Sequence[str]) -> bytes:
    """Texts in the encoding of the binary tensor extension: each after its length, four bytes, little-endian.

    >>> list(unpack(pack(["good", "", "né"])))
    ['good', '', 'né']
    """
    return b"".join(struct.pack("<I", len(data)) + data for data in (text.encode() for text in texts))


def unpack(data: bytes) -> Iterator[str]:
    """The texts that were packed, as they are asked for.

    Raises:
        struct.error: a length is cut off.
        ValueError: a text is cut off, or is no UTF-8.
    """
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > len(data):
            raise ValueError("a text is cut off")
        yield data[at : at + length].decode()
        at += length


def _outputs_fit(request: dict[str, Any]) -> bool:
    """Whether there are no more outputs than there can be, and all parameters are objects."""
    outputs = request.get("outputs") or []
    if len(outputs) > _N_OUTPUTS:
        return False
    items = [request, *outputs]
    return all(isinstance(item, dict) and isinstance(item.get("parameters") or {}, dict) for item in items)


def _flat(data: Any) -> Iterator[Any]:
    """The items of nested lists, as they are asked for."""
    if not isinstance(data, list):
        yield data
        return
    for item in data:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item
