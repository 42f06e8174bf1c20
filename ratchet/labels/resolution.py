"""Label resolution: a majority of the annotators or an adjudicator decides; conflicts are escalated.

Every vote weighs the same. Weights by skill (Dawid & Skene 1979, https://doi.org/10.2307/2346806) have to be estimated
from the answers themselves, and with two or three people and some dozen shared texts they are noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from ratchet.labels.annotations import Item, latest_answers
from ratchet.labels.remarks import SKIPPED, comments
from ratchet.tables import HUMAN_LABELS

if TYPE_CHECKING:
    import pandas as pd


def resolve(annotations: pd.DataFrame, n_annotators: int, min_agreement: float) -> pd.DataFrame:
    """Decisions on all texts that enough people have answered, as rows of `HUMAN_LABELS`, in order of their ids.

    The latest answer of each person counts. An adjudicator's answer decides at once, the latest if there are several.
    Otherwise the most frequent answer holds when more than half, and at least `min_agreement`, of the people gave it;
    when not, the text is escalated. A skip is an answer: where it holds, the text is closed as unusable.

    Args:
        annotations: rows of `ANNOTATIONS`, all that there are for the texts in question.
        n_annotators: people who must have answered before anything is decided.
        min_agreement: share of them who must agree, in (0, 1].
    """
    import pandas as pd

    latest = latest_answers(annotations)
    rows = [
        row
        for _, answers in latest.groupby("id", sort=True)
        if (row := _decision(answers, n_annotators, min_agreement)) is not None
    ]
    frame = pd.DataFrame(rows, columns=[name for name, column in HUMAN_LABELS.columns.items() if not column.optional])
    return frame.astype({"n_annotators": "int64", "agreement": "float64"})


def current_decisions(decisions: pd.DataFrame) -> pd.DataFrame:
    """The decision that holds for each text: the last one, in order of the texts' ids."""
    return decisions.drop_duplicates("id", keep="last").sort_values("id", ignore_index=True)


def new_decisions(decisions: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """Those of the decisions that differ from what holds in the store, with the number of earlier ones on each text.

    The number tells a decision that is taken again from the first time it was, so that it is a batch of its own.
    """
    columns = ["id", "label", "state", "rule", "n_annotators"]
    held = current_decisions(stored)[columns].fillna({"label": ""})
    known = {tuple(map(str, row)) for row in held.itertuples(index=False)}
    rows_now = decisions[columns].fillna({"label": ""}).itertuples(index=False)
    fresh = [tuple(map(str, row)) not in known for row in rows_now]
    rows = [at for at, is_new in enumerate(fresh) if is_new]  # pandas takes an empty list of booleans for columns
    found = decisions.iloc[rows].reset_index(drop=True)
    return found.assign(n_earlier=found["id"].map(stored["id"].value_counts()).fillna(0).astype("int64"))


def missing_answers(asked: Collection[str], annotations: pd.DataFrame, decisions: pd.DataFrame) -> str:
    """Summary of the open texts, such as "3 texts wait for a first answer, 7 for a second".

    Args:
        asked: ids of the texts that were sent to people; answered texts count beside them.
        annotations: rows of `ANNOTATIONS`, all that there are.
        decisions: rows of `HUMAN_LABELS`; what they hold waits for nobody.
    """
    people = annotations.groupby("id")["annotator"].nunique().to_dict()
    waiting = Counter(people.get(name, 0) for name in {*asked, *people} - {*decisions["id"]})
    if not waiting:
        return "0 texts wait for answers"
    (first, n_texts), *others = sorted(waiting.items())
    parts = [f"{n_texts} {'text waits' if n_texts == 1 else 'texts wait'} for a {_ordinal(first + 1)} answer"]
    return ", ".join([*parts, *(f"{n} for a {_ordinal(n_people + 1)}" for n_people, n in others)])


def conflicts(decisions: pd.DataFrame, annotations: pd.DataFrame) -> list[Item]:
    """The texts that an adjudicator has to settle, each with the votes and remarks so far."""
    held = current_decisions(decisions)
    held = held[held["state"] == "escalated"]
    votes = latest_answers(annotations[annotations["role"] == "annotator"])
    votes = votes.assign(label=votes["label"].fillna(SKIPPED))
    remarks, items = comments(votes), []
    for row in held.itertuples(index=False):
        counts = votes.loc[votes["id"] == row.id, "label"].value_counts().sort_index()
        votes_text = ", ".join(f"{n} × {label}" for label, n in counts.items())
        said = "".join(f'; "{comment}"' for comment in remarks.get(str(row.id), []))
        items.append(Item(str(row.id), str(row.text), str(row.source), reason=f"in conflict: {votes_text}{said}"))
    return items


def _decision(answers: pd.DataFrame, n_annotators: int, min_agreement: float) -> dict[str, object] | None:
    """The decision on one text from the latest answers of its people; None while too few have answered."""
    first = answers.iloc[0]
    row = {"id": first["id"], "text": first["text"], "source": first["source"]}
    answers = answers.assign(label=answers["label"].fillna(SKIPPED))
    votes = answers.loc[answers["role"] == "annotator", "label"]
    counts = votes.value_counts()
    agreement = float(counts.iloc[0] / len(votes)) if len(votes) else 1.0
    row |= {"n_annotators": answers["annotator"].nunique(), "agreement": agreement}
    settled = answers[answers["role"] == "adjudicator"]
    if len(settled):
        last = settled.sort_values("annotated_at", kind="stable", na_position="first").iloc[-1]
        return row | _outcome(last["label"], "adjudicated")
    if len(votes) < n_annotators:
        return None
    if agreement > 0.5 and agreement >= min_agreement:
        return row | _outcome(counts.index[0], "unanimous" if len(counts) == 1 else "majority")
    return {**row, "label": None, "state": "escalated", "rule": "conflict"}


def _outcome(answer: str, rule: str) -> dict[str, object]:
    if answer == SKIPPED:
        return {"label": None, "state": "unusable", "rule": rule}
    return {"label": answer, "state": "resolved", "rule": rule}


def _ordinal(n: int) -> str:
    """The number as a place in a row; people who answer a text are few.

    >>> _ordinal(1), _ordinal(3), _ordinal(7)
    ('first', 'third', '7th')
    """
    names = ("first", "second", "third", "fourth", "fifth")
    return names[n - 1] if n <= len(names) else f"{n}th"
