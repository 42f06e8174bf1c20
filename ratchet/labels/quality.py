"""Quality of people's labels: accuracy on gold questions and random samples, the posterior beside the majority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ratchet.labels.annotations import Item, latest_answers
from ratchet.labels.dawid_skene import dawid_skene
from ratchet.measure.bootstrap import proportion_estimate

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.measure.estimate import Estimate

UNBIASED = ("random", "drift_random")
"""Query strategies whose texts are a sample without bias."""


class Difference(NamedTuple):
    """A text that the posterior decides otherwise than people's majority did."""

    id: str
    decided: str
    posterior: str
    proba: float


def known_items(annotations: pd.DataFrame) -> dict[str, Item]:
    """Items of the answered texts by id, so that a sheet of gold questions may name them by id alone."""
    rows = annotations.drop_duplicates("id")[["id", "text", "source"]].itertuples(index=False, name=None)
    return {str(key): Item(str(key), str(text), str(source)) for key, text, source in rows}


def gold_accuracy(annotations: pd.DataFrame, gold: Mapping[str, str]) -> dict[str, Estimate]:
    """Person → accuracy on gold questions, texts whose class is known; skips count as wrong. None without any.

    Args:
        annotations: rows of `ANNOTATIONS`.
        gold: id → class.
    """
    votes = latest_answers(annotations[annotations["role"] == "annotator"])
    votes = votes[votes["id"].isin(gold)]
    right = votes["label"].fillna("") == votes["id"].map(gold)
    return {
        str(person): proportion_estimate(int(right[rows].sum()), len(rows))
        for person, rows in votes.groupby("annotator").groups.items()
    }


def sampled_accuracy(annotations: pd.DataFrame, decisions: pd.DataFrame) -> dict[str, Estimate]:
    """Version of a model → accuracy of its suggestions on texts that were drawn at random and decided.

    Texts that were chosen for being hard would make it look worse than it is, so they do not count.

    Args:
        annotations: rows of `ANNOTATIONS`.
        decisions: rows of `HUMAN_LABELS`.
    """
    held = decisions.drop_duplicates("id", keep="last").dropna(subset="label").set_index("id")["label"]
    asked = annotations[annotations["query_strategy"].isin(UNBIASED) & annotations["suggested"].notna()]
    asked = asked[asked["id"].isin(held.index)].drop_duplicates("id", keep="last")
    right = asked["suggested"] == asked["id"].map(held)
    return {
        str(version): proportion_estimate(int(right[rows].sum()), len(rows))
        for version, rows in asked.groupby("bundle").groups.items()
    }


def decided_otherwise(annotations: pd.DataFrame, decisions: pd.DataFrame, labels: Sequence[str]) -> list[Difference]:
    """Decided texts to which Dawid and Skene's posterior gives another class, the surest first.

    What an adjudicator decided is left out: nobody's majority did.

    Args:
        annotations: rows of `ANNOTATIONS`.
        decisions: rows of `HUMAN_LABELS`.
        labels: the classes.
    """
    votes = latest_answers(annotations[annotations["role"] == "annotator"]).dropna(subset="label")
    table: Any = votes.pivot(index="id", columns="annotator", values="label")
    places = {name: at for at, name in enumerate(labels)}
    answers = table.map(lambda name: places.get(name, -1)).to_numpy(dtype="int64")
    posterior = dawid_skene(answers, len(labels)).proba
    last = decisions.drop_duplicates("id", keep="last")
    last = last[last["rule"].isin(["unanimous", "majority"])].dropna(subset="label")
    held = last.set_index("id")["label"]
    found = [
        Difference(str(key), str(held[key]), labels[int(row.argmax())], float(row.max()))
        for key, row in zip(table.index, posterior, strict=True)
        if key in held.index and labels[int(row.argmax())] != held[key]
    ]
    return sorted(found, key=lambda item: (-item.proba, item.id))
