"""Annotations: who answered what and when, the lead time, and the model's suggestion."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from ratchet.errors import TableError
from ratchet.files import sha256_json
from ratchet.tables import ANNOTATIONS

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.data.cleaning_params import Cleaning

Role = Literal["annotator", "adjudicator"]


@dataclass(frozen=True)
class Item:
    """A text that people are asked about, and why it was chosen."""

    id: str
    text: str
    source: str
    reason: str = ""
    """For people to read: how uncertain the model is, how the text compares with what is labelled."""
    suggested: str = ""
    """The class that the model would give; empty: none."""
    confidence: float = math.nan
    """Its probability, in [0, 1]; NaN: none."""
    bundle: str = ""
    """Version of the model, name@hash; empty: none."""
    query_strategy: str = ""
    """Query strategy that chose the text; empty: a person did."""


@dataclass(frozen=True)
class Answer:
    """One person's answer to one item, as the queue holds it."""

    item: Item
    label: str
    annotator: str
    """The person as the queue names them; becomes a pseudonym before anything is stored."""
    annotated_at: str = ""
    """UTC, ISO 8601; empty: nobody noted it."""
    lead_time_s: float = math.nan
    """Seconds it took; NaN: nobody noted it."""
    origin: str = ""
    """The server's project or the file."""


def masked(answer: Answer, cleaning: Cleaning, known: Mapping[str, Item]) -> Answer:
    """The answer with its text masked as the corpus is, where a person wrote the text; that of a known item stays.

    Args:
        answer: from a queue or a sheet.
        cleaning: of the task's texts.
        known: what was sent or lies in the pool, by id.
    """
    if not cleaning.mask or answer.item.id in known:
        return answer
    from ratchet.data.cleaning import text_id
    from ratchet.data.personal_data import mask_personal_data

    text, counts = mask_personal_data(answer.item.text, cleaning.regions)
    if not counts:
        return answer
    name = text_id(text)
    return replace(answer, item=known.get(name) or replace(answer.item, id=name, text=text))


def annotation_table(answers: Sequence[Answer], role: Role, key: str, labels: Collection[str]) -> pd.DataFrame:
    """The answers as rows of `ANNOTATIONS`, in order of their ids; equal answers are one.

    Args:
        answers: from a queue.
        role: in which their authors acted.
        key: secret that turns people into pseudonyms, see `pseudonym`.
        labels: the classes there are.

    Raises:
        TableError: an answer is none of the classes, or a time is negative.
    """
    import pandas as pd

    rows = []
    for answer in answers:
        where = f"{answer.origin}, text {answer.item.id}"
        if answer.label not in labels:
            raise TableError(
                "An answer is none of the classes.",
                where=where,
                got=answer.label,
                expected=", ".join(labels),
                fix="correct the answer where it was given, and pull again: nothing was stored",
            )
        if answer.lead_time_s < 0:
            raise TableError("An answer has a negative lead time.", where=where, got=f"{answer.lead_time_s} s")
        rows.append(_row(answer, role, pseudonym(answer.annotator, key)))
    frame = pd.DataFrame(rows, columns=list(ANNOTATIONS.columns))
    frame = frame.astype({"lead_time_s": "float64"}).drop_duplicates("annotation_id")
    return frame.sort_values("annotation_id", ignore_index=True)


def pseudonym(annotator: str, key: str) -> str:
    """A name that stays the same for a person and does not tell who it is to those who lack the key.

    Without a key (empty), names can be found by trying: set one where answers name people. Another key gives
    everybody another name.
    Source: HMAC, RFC 2104, https://www.rfc-editor.org/rfc/rfc2104.

    >>> pseudonym("anna", "k") == pseudonym(" Anna", "k"), pseudonym("anna", "k") == pseudonym("anna", "other")
    (True, False)
    """
    digest = hmac.new(key.encode(), annotator.strip().casefold().encode(), hashlib.sha256)
    return f"annotator-{digest.hexdigest()[:10]}"


def utc_time(value: object, where: str) -> str:
    """An ISO 8601 time in UTC, to the microsecond; one without a zone is taken for UTC; empty stays empty.

    Raises:
        TableError: it is no time.

    >>> utc_time("2026-11-24T10:00:00+01:00", ""), utc_time(None, "")
    ('2026-11-24T09:00:00.000000Z', '')
    """
    if value in (None, ""):
        return ""
    try:
        when = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise TableError("A time is not ISO 8601.", where=where, got=value, expected="2026-11-24T10:00:00Z") from None
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def latest_answers(annotations: pd.DataFrame) -> pd.DataFrame:
    """Of each person, role and text the latest answer: by time, then by place in the table; in the table's order."""
    import pandas as pd

    times = pd.to_datetime(annotations["annotated_at"], utc=True, format="ISO8601")
    ordered = annotations.assign(_at=times).sort_values("_at", kind="stable", na_position="first")
    latest = ordered.drop_duplicates(["id", "annotator", "role"], keep="last").sort_index()
    return latest.drop(columns="_at").reset_index(drop=True)


def _row(answer: Answer, role: Role, annotator: str) -> dict[str, object]:
    item = answer.item
    identity = [answer.origin, item.id, annotator, role, answer.label, answer.annotated_at]
    return {
        "annotation_id": sha256_json(identity)[:24],
        "id": item.id,
        "text": item.text,
        "source": item.source,
        "label": answer.label,
        "annotator": annotator,
        "role": role,
        "annotated_at": answer.annotated_at or None,
        "lead_time_s": answer.lead_time_s,
        "bundle": item.bundle or None,
        "suggested": item.suggested or None,
        "query_strategy": item.query_strategy or None,
        "origin": answer.origin,
    }
