"""Answers of made-up people, as the queues bring them and as the store holds them."""

from __future__ import annotations

import pandas as pd

from ratchet.labels.annotations import Answer, Item, Role, annotation_table

KEY = "a key for tests"
LABELS = ["negative", "no", "positive", "yes"]


def answer(name: str, annotator: str, label: str, second: int = 0, lead_time_s: float = 5.0) -> Answer:
    """An answer given `second` seconds after noon, to a text that a model suggested a class for."""
    item = Item(name, f"text of {name}", "made", "margin 0.10", "positive", 0.55, "teacher@123", "margin")
    return Answer(item, label, annotator, f"2026-01-01T12:{second // 60:02}:{second % 60:02}.000000Z", lead_time_s, "t")


def stored_answers(
    rows: list[tuple[str, str, str]], role: Role = "annotator", lead_time_s: float = 5.0
) -> pd.DataFrame:
    """(text, person, class) as rows of ANNOTATIONS, given one after the other, in the order of their ids."""
    answers = [answer(*row, second, lead_time_s) for second, row in enumerate(rows)]
    return annotation_table(answers, role, KEY, LABELS)
