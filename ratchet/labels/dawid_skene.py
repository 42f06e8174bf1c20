"""Posterior of each text's class from people's answers, with each person's own confusions (Dawid and Skene).

The plain majority counts everybody alike; here a person who confuses two classes counts less between them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRIOR = 0.5
"""Answers of each kind that every person is given beforehand: without them a class that somebody never met counts as
impossible."""
MAX_STEPS, TOLERANCE = 200, 1e-6


class Posterior(NamedTuple):
    """What the answers say of the texts and of the people."""

    proba: NDArray[np.float64]
    """(n_texts, n_classes), rows sum to 1; of a text without an answer the shares of the classes."""
    confusion: NDArray[np.float64]
    """(n_people, n_classes, n_classes): probability that a person gives the second class to a text of the first."""


def dawid_skene(votes: NDArray[np.int64], n_classes: int) -> Posterior:
    """Maximum a posteriori by expectation maximization, begun with the majority's shares.

    Args:
        votes: class that each person gave each text, (n_texts, n_people); -1: none.
        n_classes: how many classes there are.

    Source: Dawid and Skene 1979, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm,
    https://doi.org/10.2307/2346806.
    """
    given = (votes[:, :, None] == np.arange(n_classes)).astype(float)  # (n_texts, n_people, n_classes)
    totals = given.sum(axis=1)
    n_answers = totals.sum(axis=1, keepdims=True)
    proba = np.where(n_answers > 0, totals / np.maximum(n_answers, 1), 1 / n_classes)
    for _ in range(MAX_STEPS):
        prior = proba.mean(axis=0)
        counts = np.einsum("tk,tpj->pkj", proba, given) + PRIOR * (np.eye(n_classes) + 1 / n_classes)
        confusion = counts / counts.sum(axis=2, keepdims=True)
        logs = np.log(np.maximum(prior, 1e-12)) + np.einsum("tpj,pkj->tk", given, np.log(confusion))
        fresh = np.exp(logs - logs.max(axis=1, keepdims=True))
        fresh /= fresh.sum(axis=1, keepdims=True)
        moved = float(np.abs(fresh - proba).max(initial=0.0))
        proba = fresh
        if moved < TOLERANCE:
            break
    return Posterior(proba, confusion)
