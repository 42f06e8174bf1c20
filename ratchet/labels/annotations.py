"""Annotations: who answered what and when, the lead time, and the model's suggestion."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from ratchet.errors import TableError
from ratchet.files import sha256_json
from ratchet.labels.annotators import canonical_name, pseudonym
from ratchet.labels.class_changes import ClassChange, present_name
from ratchet.labels.remarks import ANNOTATIONS, WORDS, with_remarks

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.data.cleaning_params import Cleaning

Role = Literal["annotator", "adjudicator"]
SERVER = "label-studio:"
"""Start of the origin of an answer that was given on a server."""
SKIPS = {"skip", "skipped", "unusable"}
"""What a person writes in place of a class when a text cannot be labelled."""


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
    """Query strategy that chose the text; empty: a person did. `random` alone is a sample without bias."""
    query_score: float = math.nan
    """Its score of the text, see `query_scores`; NaN: it gives none."""
    guidelines: str = ""
    """Version of the guidelines by which people are asked; empty: there are none."""


@dataclass(frozen=True)
class Answer:
    """One person's answer to one item, as the queue holds it."""

    item: Item
    label: str
    """The class; empty: the person skipped the text."""
    annotator: str
    """The person as the queue names them; becomes a pseudonym before anything is stored."""
    annotated_at: str = ""
    """UTC, ISO 8601; empty: nobody noted it."""
    lead_time_s: float = math.nan
    """Seconds it took; NaN: nobody noted it."""
    origin: str = ""
    """The server's project or the file."""
    comment: str = ""
    """What the person remarked about the text."""
    change_reason: str = ""
    """Why the person changed an earlier answer."""


def masked(answer: Answer, cleaning: Cleaning, known: Mapping[str, Item]) -> Answer:
    """The answer with what a person wrote masked as the corpus is: remarks, and the text unless the item is known.

    Args:
        answer: from a queue or a sheet.
        cleaning: of the task's texts.
        known: what was sent or lies in the pool, by id.
    """
    if not cleaning.mask:
        return answer
    from ratchet.data.cleaning import text_id
    from ratchet.data.personal_data import mask_personal_data

    comment, change_reason = (
        mask_personal_data(words, cleaning.regions)[0] for words in (answer.comment, answer.change_reason)
    )
    answer = replace(answer, comment=comment, change_reason=change_reason)
    if answer.item.id in known:
        return answer
    text, counts = mask_personal_data(answer.item.text, cleaning.regions)
    if not counts:
        return answer
    name = text_id(text)
    return replace(answer, item=known.get(name) or replace(answer.item, id=name, text=text))


def annotation_table(answers: Sequence[Answer], role: Role, key: str, labels: Collection[str]) -> pd.DataFrame:
    """The answers as rows of `ANNOTATIONS`, those without a time first, then by time; equal answers are one.

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
        if answer.label and answer.label not in labels:
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
    kinds = {"lead_time_s": "float64", "query_score": "float64", **dict.fromkeys((*WORDS, "guidelines"), "str")}
    frame = frame.astype(kinds).drop_duplicates("annotation_id")
    return frame.sort_values("annotated_at", kind="stable", na_position="first", ignore_index=True)


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


class Classified(NamedTuple):
    """Answers by whether they name a class."""

    answers: list[Answer]
    """Those that name a class, spelled as the class is, and skips."""
    unknown: list[Answer]
    """Those that name none."""


def as_classes(answers: Sequence[Answer], labels: Collection[str], changes: Sequence[ClassChange] = ()) -> Classified:
    """Each answer with its class as it is spelled, whatever its case and spaces; `SKIPS` are answers without a class.

    A class whose name is one of `SKIPS` is a class.

    Args:
        answers: from a queue.
        labels: the classes there are.
        changes: of the classes: an answer that names one of yesterday means the one in its place.
    """
    spelled = defaultdict(set)
    for label in labels:
        spelled[canonical_name(label)].add(label)
    found = Classified([], [])
    for given in answers:
        was = given.label if given.label in labels else present_name(given.label, changes)
        answer = replace(given, label=was)
        near = spelled.get(canonical_name(answer.label), set())
        if not answer.label or answer.label in labels:
            found.answers.append(answer)
        elif len(near) == 1:
            found.answers.append(replace(answer, label=next(iter(near))))
        elif canonical_name(answer.label) in SKIPS:
            found.answers.append(replace(answer, label=""))
        else:
            found.unknown.append(answer)
    return found


def latest_given(answers: Sequence[Answer]) -> list[Answer]:
    """Of each person, text and place the last answer: by time, then by order; one without a time is the oldest."""
    latest: dict[tuple[str, str, str], Answer] = {}
    for answer in sorted(answers, key=lambda given: given.annotated_at):
        latest[answer.origin, answer.item.id, canonical_name(answer.annotator)] = answer
    return list(latest.values())


def same_people(annotations: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The rows with the pseudonym under which each answer of a server is stored already.

    An account that was deleted or renamed since has another name on the server; text, class and the time to the
    microsecond are still those of the answer that was pulled before.

    Args:
        annotations: rows that were fetched.
        stored: rows of the store.
    """
    columns = ["origin", "id", "label", "annotated_at", "role"]
    known: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for *said, annotator in _plain(stored)[[*columns, "annotator"]].itertuples(index=False, name=None):
        if said[3] and said[0].startswith(SERVER):
            known[tuple(said)].append(annotator)
    people = []
    for *said, annotator in _plain(annotations)[[*columns, "annotator"]].itertuples(index=False, name=None):
        before = known.get(tuple(said), [])
        people.append(annotator if annotator in before or not before else before[0])
    return annotations.assign(annotator=people)


def new_answers(annotations: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """The rows that say something else than the last stored answer of the same person, text and place.

    An answer that goes back to an earlier one is new, and has an id of its own.
    """
    columns = ["origin", "id", "annotator", "role", "label", "annotated_at", *WORDS]
    said: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for row in _plain(stored)[columns].itertuples(index=False, name=None):
        said[row[:4]].append(row[4:])
    known, names, rows = set(stored["annotation_id"]), [], []
    for at, row in enumerate(_plain(annotations)[columns].itertuples(index=False, name=None)):
        name, before = str(annotations["annotation_id"].iloc[at]), said[row[:4]]
        if before and before[-1] == row[4:]:
            continue
        rows.append(at)
        names.append(sha256_json([name, len(before)])[:24] if name in known else name)
    return annotations.iloc[rows].assign(annotation_id=names).reset_index(drop=True)


def gone_answers(annotations: pd.DataFrame, stored: pd.DataFrame, origins: Collection[str]) -> dict[str, int]:
    """How many texts a person's stored answer to is no longer found where it was given, by place.

    A cell that was emptied, a task or an annotation that was deleted: what is stored goes on counting.

    Args:
        annotations: every row that was fetched.
        stored: rows of the store.
        origins: places that were read.
    """
    columns = ["origin", "id", "annotator"]
    there = set(annotations[columns].itertuples(index=False, name=None))
    before = set(stored.loc[stored["origin"].isin(list(origins)), columns].itertuples(index=False, name=None))
    return dict(sorted(Counter(str(origin) for origin, *_ in before - there).items()))


def latest_answers(annotations: pd.DataFrame) -> pd.DataFrame:
    """Of each person, role and text the latest answer: by time, then by place in the table; in the table's order."""
    import pandas as pd

    times = pd.to_datetime(annotations["annotated_at"], utc=True, format="ISO8601")
    ordered = annotations.assign(_at=times).sort_values("_at", kind="stable", na_position="first")
    latest = ordered.drop_duplicates(["id", "annotator", "role"], keep="last").sort_index()
    return latest.drop(columns="_at").reset_index(drop=True)


def _plain(annotations: pd.DataFrame) -> pd.DataFrame:
    """The rows with an empty text for a class, a time or a remark that is missing."""
    rows = with_remarks(annotations)
    return rows.assign(**{name: rows[name].fillna("") for name in ("label", "annotated_at", *WORDS)})


def _row(answer: Answer, role: Role, annotator: str) -> dict[str, object]:
    item = answer.item
    remarks = {name: getattr(answer, name) for name in WORDS}
    identity: list[object] = [answer.origin, item.id, annotator, role, answer.label, answer.annotated_at]
    identity += [remarks] if any(remarks.values()) else []  # without any the id is that of stores without remarks
    return {
        "annotation_id": sha256_json(identity)[:24],
        "id": item.id,
        "text": item.text,
        "source": item.source,
        "label": answer.label or None,
        "annotator": annotator,
        "role": role,
        "annotated_at": answer.annotated_at or None,
        "lead_time_s": answer.lead_time_s,
        "bundle": item.bundle or None,
        "suggested": item.suggested or None,
        "query_strategy": item.query_strategy or None,
        "query_score": item.query_score,
        "origin": answer.origin,
        **{name: value or None for name, value in remarks.items()},
        "guidelines": item.guidelines or None,
    }
