"""Selection of texts for annotation by a query strategy, each with the reason that annotators read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.labels.annotations import Item
from ratchet.labels.pool import DrawProba, Pool
from ratchet.labels.query_strategies import QUERY_STRATEGIES, query_scores
from ratchet.labels.selection_model import fit_selection_model, unit_length

if TYPE_CHECKING:
    import pandas as pd


def choose(
    pool: pd.DataFrame,
    proba: NDArray[np.float64] | None,
    embeddings: NDArray[np.float32] | None,
    labeled: NDArray[np.bool_],
    labels: Sequence[str],
    bundle: str,
    query_strategy: str,
    n: int,
    rng: np.random.Generator,
    draw_proba: DrawProba | None = None,
) -> list[Item]:
    """The `n` texts of the pool to ask people about, each with the reason, the score and the model's suggestion.

    Args:
        pool: texts, labelled and not: id, text, source.
        proba: the model's class probabilities, (n_pool, n_classes); None: there is no model, and nothing is suggested.
        embeddings: (n_pool, hidden); None: there are none, and texts can be drawn at random only.
        labeled: which are labelled, (n_pool,): they are never chosen, and the others are compared with them.
        labels: the classes, in the order of the columns of proba.
        bundle: version of the model, name@hash.
        query_strategy: a name of `QUERY_STRATEGIES`.
        n: texts to choose; all that are not labelled when these are fewer.
        rng: breaks ties.
        draw_proba: models that fit the labels about equally well, for strategies of `ASKS_COMMITTEE`.
    """
    points = unit_length(np.zeros((len(pool), 1), dtype=np.float32) if embeddings is None else embeddings)
    uniform = np.full((len(pool), len(labels)), 1.0 / len(labels))
    seen = Pool(points, labeled, uniform if proba is None else proba, draw_proba)
    chosen = QUERY_STRATEGIES[query_strategy](seen, n, rng)
    scores = query_scores(query_strategy, seen, chosen)
    drawn = ["drawn at random"] * len(chosen)
    notes = drawn if embeddings is None else compared_with_labeled(points[chosen], points[labeled])
    items = []
    for row, note, score in zip(chosen, notes, scores, strict=True):
        name, text, source = (str(pool[column].iloc[row]) for column in ("id", "text", "source"))
        plain = Item(name, text, source, note, query_strategy=query_strategy, query_score=float(score))
        items.append(plain if proba is None else _suggested(plain, proba[row], labels, bundle))
    return items


def committee(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int64],
    n_classes: int,
    inverse_regularization: float,
    balanced: bool,
) -> DrawProba:
    """A committee of selection models on what is labelled: a bundle is one model, with which none can disagree.

    Args:
        embeddings: of the labelled texts, (n, hidden).
        targets: their classes, (n,).
        n_classes: classes there are.
        inverse_regularization: see `fit_selection_model`, as for `balanced`.

    Raises:
        TrainingError: the labels show fewer than two classes, so that all members would say the same.
    """
    if (n_shown := len(np.unique(targets))) < 2:
        raise TrainingError(
            "A committee cannot disagree on labels of fewer than two classes.",
            where="sample.query_strategy or --query-strategy",
            got=f"{len(targets)} labels of {n_shown} classes",
            expected="labels of at least two classes",
            fix="push with --query-strategy typiclust, which needs no label, and label those texts first",
        )
    model = fit_selection_model(unit_length(embeddings), targets, n_classes, inverse_regularization, balanced)
    return model.draw_proba


def compared_with_labeled(chosen: NDArray[np.float32], labeled: NDArray[np.float32]) -> list[str]:
    """For each chosen text, in words, whether it is like what is labelled.

    It is unlike when its cosine similarity to the nearest labelled text is lower than that of nine in ten labelled
    texts to their own nearest other one.

    Args:
        chosen: embeddings of unit length, (n_chosen, hidden).
        labeled: the same of what is labelled, (n_labeled, hidden).
    """
    if len(labeled) < 2:
        return ["hardly anything is labelled yet"] * len(chosen)
    usual = float(np.percentile(_nearest(labeled, labeled, same=True), 10))
    return [
        f"unlike what is labelled (nearest {value:.2f})" if value < usual else f"near what is labelled ({value:.2f})"
        for value in _nearest(chosen, labeled, same=False)
    ]


def _suggested(item: Item, proba: NDArray[np.float64], labels: Sequence[str], bundle: str) -> Item:
    """The item with the class that the model finds most probable."""
    ordered = np.sort(proba)
    return replace(
        item,
        reason=f"margin {ordered[-1] - ordered[-2]:.2f}, {item.reason}",
        suggested=labels[int(proba.argmax())],
        confidence=float(ordered[-1]),
        bundle=bundle,
    )


def _nearest(rows: NDArray[np.float32], points: NDArray[np.float32], *, same: bool) -> NDArray[np.float32]:
    """Cosine similarity of each row to its nearest point, (n_rows,), in chunks; with `same`, other than itself."""
    best = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), 1024):
        similarity = rows[start : start + 1024] @ points.T  # (chunk, n_points)
        if same:
            at = np.arange(len(similarity))
            similarity[at, start + at] = -1.0
        best[start : start + 1024] = similarity.max(axis=1)
    return best
