"""Remarks of annotators: comments, why an answer was changed, and the guidelines that held when it was asked for.

They travel with the answer: from the sheet or the server into the label store, to the adjudicator of a conflict, and
into what `ratchet labels notes` prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.tables import ANNOTATIONS as ANSWERS
from ratchet.tables import Column, Table

if TYPE_CHECKING:
    import pandas as pd

WORDS = {
    "comment": Column("str", True, "what the person remarked about the text; missing: nothing", optional=True),
    "change_reason": Column("str", True, "why the person changed an earlier answer; missing: not told", optional=True),
}
"""Columns in a person's own words."""
GUIDELINES = Column("str", True, "version of the guidelines by which it was asked; missing: none", optional=True)
ANNOTATIONS = Table(ANSWERS.name, {**ANSWERS.columns, **WORDS, "guidelines": GUIDELINES})
"""The table of answers with their remarks. Declared here and not in `ratchet.tables`, on which every stage depends:
only `sample` reads answers, and none the remarks."""
SKIPPED = "(skipped)"
"""What a skip is called among answers."""


@dataclass(frozen=True)
class Note:
    """An answer about which a person said more than a class, or which replaced another one of theirs."""

    id: str
    annotator: str
    role: str
    at: str
    """UTC, ISO 8601; empty: nobody noted it."""
    was: str
    """The person's answer before; empty: there was none, or the same."""
    label: str
    comment: str
    change_reason: str
    guidelines: str
    """Version of the guidelines by which it was asked; empty: none."""

    @property
    def line(self) -> str:
        """For people to read.

        >>> Note("ab", "annotator-1", "annotator", "", "no", "yes", "hard", "misread", "").line
        'ab annotator-1: no → yes, because: misread; "hard"'
        """
        answer = f"{self.was} → {self.label}" if self.was else self.label
        because = f", because: {self.change_reason}" if self.change_reason else ""
        when, who = f" {self.at[:19]}" if self.at else "", "" if self.role == "annotator" else f" ({self.role})"
        return f"{self.id}{when} {self.annotator}{who}: {answer}{because}" + (
            f'; "{self.comment}"' if self.comment else ""
        )


def with_remarks(annotations: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column of remarks, missing where the store is older than they are."""
    absent = [name for name in (*WORDS, "guidelines") if name not in annotations.columns]
    return annotations.assign(**dict.fromkeys(absent)) if absent else annotations


def notes(annotations: pd.DataFrame, text_id: str = "") -> list[Note]:
    """The answers that carry a remark or replace another of the same person, text by text, in the order of time.

    Args:
        annotations: rows of the store, in its order.
        text_id: of one text, whose every answer is a note then; empty: of all texts.
    """
    rows = with_remarks(annotations)
    rows = rows[rows["id"] == text_id] if text_id else rows
    columns = ["id", "annotator", "role", "annotated_at", "label", "comment", "change_reason", "guidelines"]
    before: dict[tuple[str, str, str], str] = {}
    found: list[Note] = []
    rows = rows[columns].fillna({"label": SKIPPED, "annotated_at": ""})
    rows = rows.sort_values(["id", "annotated_at"], kind="stable")
    for name, who, role, at, label, *said in rows.itertuples(index=False, name=None):
        was = before.get((name, who, role), "")
        comment, reason, guidelines = ("" if value is None or value != value else str(value) for value in said)
        note = Note(name, who, role, at, was if was != label else "", label, comment, reason, guidelines)
        before[name, who, role] = label
        if text_id or note.was or comment or reason:
            found.append(note)
    return found


def comments(annotations: pd.DataFrame) -> dict[str, list[str]]:
    """Text's id → what people remarked about it, in the order of the rows."""
    found: dict[str, list[str]] = {}
    rows = with_remarks(annotations).dropna(subset="comment")
    for name, comment in rows[["id", "comment"]].itertuples(index=False, name=None):
        found.setdefault(str(name), []).append(str(comment))
    return found
