"""Request and response schemas."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import Field

RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]


class Schema(pydantic.BaseModel):
    """Body of a request or of a response; null is no value of any field."""

    model_config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())

    @pydantic.model_validator(mode="before")
    @classmethod
    def _no_null(cls, value: Any) -> Any:
        if isinstance(value, dict) and any(item is None for item in value.values()):
            raise ValueError("leave out what has no value: null is none")
        return value


def _either(*fields: str) -> pydantic.config.JsonDict:
    return {"oneOf": [{"required": [name]} for name in fields]}


class PredictRequest(Schema):
    """One text, or many."""

    model_config = pydantic.ConfigDict(json_schema_extra=_either("text", "texts"))

    text: str | None = None
    """One text."""
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = None
    """Or many."""
    unit: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Randomization unit of an experiment: a user or session, as an opaque id. Not stored."""

    @pydantic.model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("send either text or texts")
        return self


class Prediction(Schema):
    """The prediction for a text."""

    request_id: str
    """Names this prediction in feedback."""
    label: str
    """The class."""
    confidence: float
    """Its probability."""
    proba: dict[str, float]
    """The probability of every class."""


class PredictResponse(Schema):
    """Predictions in the order of the texts."""

    model_version: str
    predictions: list[Prediction]


class ExplainRequest(Schema):
    """A text to explain."""

    text: Annotated[str, Field(min_length=1)]


class Word(Schema):
    """A word, where it stands, and what it adds to the probability of the predicted class (SHAP value)."""

    word: str
    start: int
    end: int
    value: float


class ProblemDetails(pydantic.BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str
    """A path of the server, which explains it."""
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    """As in the header `X-Request-Id`."""
    errors: list[dict[str, str]] = []
    """Fields of the body, and what they should hold; five at most."""


class ExplainResponse(Schema):
    """base + the sum of the words' values = confidence, up to `additivity_error`."""

    model_version: str
    text: str
    """The text as the model reads it, repaired like its training texts: `start` and `end` are places in it."""
    label: str
    confidence: float
    base: float
    """The probability with all words deleted."""
    words: list[Word]
    additivity_error: float


class FeedbackRequest(Schema):
    """Feedback on a prediction that the same key was given: a thumb, or the correct label."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"properties": {"kind": {"const": "thumb"}}, "required": ["value"], "not": {"required": ["label"]}},
                {
                    "properties": {"kind": {"const": "correction"}},
                    "required": ["label"],
                    "not": {"required": ["value"]},
                },
            ]
        }
    )

    request_id: RequestId
    kind: Literal["thumb", "correction"]
    value: Annotated[float, Field(ge=0, le=1)] | None = None
    """Of a thumb: 1 for up, 0 for down."""
    label: str | None = None
    """Of a correction: the class that is right."""

    @pydantic.model_validator(mode="after")
    def _belongs(self) -> Self:
        wanted, other = (self.value, self.label) if self.kind == "thumb" else (self.label, self.value)
        if wanted is None or other is not None:
            raise ValueError("a thumb has a value and no label, a correction a label and no value")
        return self


class FeedbackResponse(Schema):
    """Whether the feedback was logged."""

    accepted: bool
