"""Selection of texts for annotation by a query strategy, each with the reason that annotators read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.labels.annotations import Item
from ratchet.labels.pool import DrawProba, Pool
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.selection_model import fit_selection_model, unit_length

if TYPE_CHECKING:
    import pandas as pd


def choose(
    pool: pd.DataFrame,
    proba: NDArray[np.float64],
    embeddings: NDArray[np.float32],
    labeled: NDArray[np.bool_],
    labels: Sequence[str],
    bundle: str,
    query_strategy: str,
    n: int,
    rng: np.random.Generator,
    draw_proba: DrawProba | None = None,
) -> list[Item]:
    """The `n` texts of the pool to ask people about, each with the model's suggestion and the reason.

    Args:
        pool: texts, labelled and not: id, text, source.
        proba: the model's class probabilities, (n_pool, n_classes).
        embeddings: (n_pool, hidden).
        labeled: which are labelled, (n_pool,): they are never chosen, and the others are compared with them.
        labels: the classes, in the order of the columns of proba.
        bundle: version of the model, name@hash.
        query_strategy: a name of `QUERY_STRATEGIES`.
        n: texts to choose; all that are not labelled when these are fewer.
        rng: breaks ties.
        draw_proba: models that fit the labels about equally well, for strategies of `ASKS_COMMITTEE`.
    """
    points = unit_length(embeddings)
    chosen = QUERY_STRATEGIES[query_strategy](Pool(points, labeled, proba, draw_proba), n, rng)
    notes = compared_with_labeled(points[chosen], points[labeled])
    return [
        _item(pool, int(row), proba[row], labels, bundle, query_strategy, note)
        for row, note in zip(chosen, notes, strict=True)
    ]


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


def _item(
    pool: pd.DataFrame,
    row: int,
    proba: NDArray[np.float64],
    labels: Sequence[str],
    bundle: str,
    strategy: str,
    note: str,
) -> Item:
    name, text, source = (str(pool[column].iloc[row]) for column in ("id", "text", "source"))
    ordered = np.sort(proba)
    return Item(
        name,
        text,
        source,
        reason=f"margin {ordered[-1] - ordered[-2]:.2f}, {note}",
        suggested=labels[int(proba.argmax())],
        confidence=float(ordered[-1]),
        bundle=bundle,
        query_strategy=strategy,
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
