"""Two ways to treat groups more alike before a model learns: weights for its texts, or more texts.

Thresholds by group, which come after it, are in `ratchet.trust.group_thresholds`.
Source: Kamiran & Calders 2012, https://doi.org/10.1007/s10115-011-0463-8 (reweighing); Lu et al. 2020,
https://arxiv.org/abs/1807.11714 (counterfactual augmentation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import ParamsError
from ratchet.trust.language import Articles
from ratchet.trust.lexicons import Lexicon, lexicon_groups, swapped

if TYPE_CHECKING:
    import pandas as pd

Mitigation = Literal["none", "reweighing", "augmentation"]
"""What is done about groups before a model learns from the texts."""


class Mitigated(NamedTuple):
    """What is learned from instead."""

    rows: pd.DataFrame
    """The texts, with the copies that were added to them at the end."""
    weight: NDArray[np.float64] | None
    """What each of them counts for, (n,), 1 on average; None: all count alike."""
    report: dict[str, Any]
    """Group → label → texts before, and what they count for after."""


def mitigate(
    kind: Mitigation, frame: pd.DataFrame, lexicon: Lexicon, attribute: str, most: int, articles: Articles
) -> Mitigated:
    """The texts to learn from under a mitigation; with 'none' the very same frame.

    Args:
        kind: reweighing weighs each text so that group and label are independent; augmentation adds copies with
            swapped terms and the same label.
        frame: rows with `id`, `text` and `label`.
        lexicon: the terms.
        attribute: by whose terms the texts are grouped and swapped; only copies of these terms are made. With 'none' it
            may be empty, or the lexicon without any attribute: then there are no groups to count.
        most: copies of a text, at most.
        articles: see `ratchet.trust.language`.

    Raises:
        ParamsError: the lexicon has no such attribute, or no terms of it to swap.
    """
    if kind == "augmentation" and attribute not in lexicon.swaps:
        raise ParamsError(
            "The lexicon has no terms to swap for an attribute.",
            where="the lexicon, swaps",
            got=attribute,
            expected=f"one of {', '.join(lexicon.swaps)}",
            fix="add rows of terms that play the same part",
        )
    if kind == "none" and not (attribute and lexicon.attributes):
        return Mitigated(frame, None, {"kind": kind, "attribute": "", "n_added": 0})
    groups = lexicon_groups(frame["text"].tolist(), lexicon, attribute)
    rows, weight = frame, None
    if kind == "reweighing":
        weight = reweighing(frame["label"].to_numpy(dtype=str), groups)
        weight *= len(weight) / weight.sum()  # a label that is absent from a group leaves less than n
    elif kind == "augmentation":
        rows = augmented(
            frame, lexicon.model_copy(update={"swaps": {attribute: lexicon.swaps[attribute]}}), most, articles
        )
    after = lexicon_groups(rows["text"].tolist(), lexicon, attribute)
    counted = np.ones(len(rows)) if weight is None else weight
    report = {
        "kind": kind,
        "attribute": attribute,
        "n_added": len(rows) - len(frame),
        "before": group_totals(frame["label"].to_numpy(dtype=str), groups, np.ones(len(frame))),
        "after": group_totals(rows["label"].to_numpy(dtype=str), after, counted),
    }
    return Mitigated(rows, weight, report)


def group_totals(
    labels: NDArray[Any], groups: NDArray[Any], weight: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Group → label → what its texts count for, in alphabetical order; a cell without texts is 0.

    >>> group_totals(np.array(["bad", "good", "good"]), np.array(["a", "a", "b"]), np.ones(3))
    {'a': {'bad': 1.0, 'good': 1.0}, 'b': {'bad': 0.0, 'good': 1.0}}
    """
    names = sorted(set(labels.tolist()))
    return {
        group: {label: float(weight[(groups == group) & (labels == label)].sum()) for label in names}
        for group in sorted(set(groups.tolist()))
    }


def reweighing(labels: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.float64]:
    """A weight for each row, (n,), under which label and group are independent: P(group) P(label) ÷ P(both).

    They sum to n where every label occurs in every group.

    >>> reweighing(np.array([1, 1, 0, 0]), np.array(["a", "a", "a", "b"])).round(2).tolist()
    [0.75, 0.75, 1.5, 0.5]
    """
    weight = np.ones(len(labels))
    for label in set(labels.tolist()):
        for group in set(groups.tolist()):
            both = (labels == label) & (groups == group)
            if both.any():
                weight[both] = (labels == label).mean() * (groups == group).mean() / both.mean()
    return weight


def resampled(frame: pd.DataFrame, weight: NDArray[np.float64], seed: int) -> pd.DataFrame:
    """As many rows, drawn in proportion to their weights: reweighing for learners that take no weights."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(frame), len(frame), p=weight / weight.sum())
    return frame.iloc[np.sort(rows)].reset_index(drop=True)


def augmented(frame: pd.DataFrame, lexicon: Lexicon, most: int, articles: Articles) -> pd.DataFrame:
    """The rows, and copies of those with identity terms in which the terms are swapped; the label stays.

    Args:
        frame: rows with `id`, `text` and `label`.
        lexicon: the terms.
        most: copies of a row for each attribute.
        articles: see `ratchet.trust.language`.
    """
    import pandas as pd

    copies = []
    for row, (key, text) in enumerate(zip(frame["id"], frame["text"], strict=True)):
        for attribute, terms in lexicon.swaps.items():
            for number, edited in enumerate(swapped(text, key, terms, most, articles, lexicon.phrases)):
                copies.append(frame.iloc[[row]].assign(id=f"{key}-{attribute}{number}", text=edited))
    return pd.concat([frame, *copies], ignore_index=True)
