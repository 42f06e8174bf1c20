"""Inter-annotator agreement beyond chance."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.annotations import latest_answers
from ratchet.labels.kappa import cohen_kappa
from ratchet.measure.estimate import Estimate, undefined

if TYPE_CHECKING:
    import pandas as pd

N_DRAWS = 500
MOST_CONFUSED = 20
"""Pairs of confused classes that are reported."""


def krippendorff_alpha(counts: NDArray[np.int64]) -> float:
    """1 − observed / expected disagreement over any number of people with any answers missing; at most 1.

    Args:
        counts: how many people gave a text a class, (n_texts, n_classes); texts with one answer tell nothing.

    1: they always agree, 0: as by chance, NaN: fewer than two classes were given to texts with two answers.
    Source: Krippendorff 2011, Computing Krippendorff's alpha-reliability, https://repository.upenn.edu/asc_papers/43.
    """
    import krippendorff

    pairable = counts[counts.sum(axis=1) >= 2]
    if np.count_nonzero(pairable.sum(axis=0)) < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(krippendorff.alpha(value_counts=pairable, level_of_measurement="nominal"))


def agreement(annotations: pd.DataFrame, labels: list[str], seed: int) -> dict[str, Any]:
    """Krippendorff's alpha with its interval, Cohen's kappa of each pair, and how many texts they rest on.

    With them alpha of each class against the rest, and the pairs of classes that people gave the same text, most first.

    Only the latest answers of people in the role 'annotator' count. The interval of alpha resamples texts; it is
    undefined (NaN) where alpha is.

    Args:
        annotations: rows of `ANNOTATIONS`.
        labels: the classes.
        seed: of the resampling.
    """
    votes = latest_answers(annotations[annotations["role"] == "annotator"])
    table = votes.pivot(index="id", columns="annotator", values="label")  # (n_texts, n_people)
    counts = np.stack([(table == name).sum(axis=1).to_numpy() for name in labels], axis=1)
    pairs = []
    for first, second in combinations(table.columns, 2):
        both = table[[first, second]].dropna()
        if len(both):
            kappa = cohen_kappa(both[first].to_numpy(), both[second].to_numpy())
            same = float((both[first] == both[second]).mean())
            pairs.append({"first": first, "second": second, "n_texts": len(both), "cohen_kappa": kappa, "agree": same})
    return {
        "n_texts_with_two_answers": int((counts.sum(axis=1) >= 2).sum()),
        "krippendorff_alpha": _alpha_estimate(counts, seed).to_json(),
        "pairs": pairs,
        "classes": [
            {"label": name, "krippendorff_alpha": krippendorff_alpha(np.stack([own, counts.sum(axis=1) - own], axis=1))}
            for name, own in zip(labels, counts.T, strict=True)
        ],
        "confused": _confused(counts, labels),
    }


def _confused(counts: NDArray[np.int64], labels: list[str]) -> list[dict[str, Any]]:
    """Pairs of classes that were both given to a text, with the number of such texts; at most `MOST_CONFUSED`."""
    given = (counts > 0).astype(np.int64)
    both = given.T @ given  # (n_classes, n_classes)
    pairs: list[dict[str, Any]] = [
        {"first": labels[one], "second": labels[other], "n_texts": int(both[one, other])}
        for one, other in combinations(range(len(labels)), 2)
        if both[one, other]
    ]
    return sorted(pairs, key=lambda pair: -pair["n_texts"])[:MOST_CONFUSED]


def _alpha_estimate(counts: NDArray[np.int64], seed: int) -> Estimate:
    counts = counts[counts.sum(axis=1) >= 2]
    value = krippendorff_alpha(counts)
    if np.isnan(value):
        return undefined("no two classes among texts that two people answered", len(counts))
    rng = np.random.default_rng(seed)
    draws = [krippendorff_alpha(counts[rng.integers(0, len(counts), len(counts))]) for _ in range(N_DRAWS)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(value, min(float(low), value), max(float(high), value), len(counts))
