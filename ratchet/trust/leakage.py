"""Whether a bundle has seen the test set: by what it was trained on, by its provenance (manifest), and by how it
behaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ratchet.data.held_out import NearDuplicatesOf
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate, undefined

Mask = NDArray[np.bool_]


def leaked(
    test_ids: Sequence[str],
    test_texts: Sequence[str],
    train_ids: Sequence[str],
    train_texts: Sequence[str],
    threshold: float,
) -> Mask:
    """Which test texts were trained on: by id, or by a near-duplicate of at least `threshold`; (n_test,).

    >>> leaked(["1", "2", "3"], ["a warm and quiet room", "late again", "new"], ["2"],
    ...        ["A warm and quiet room indeed"], 0.7).tolist()
    [True, True, False]
    """
    same = np.isin(np.asarray(test_ids, dtype=object), np.asarray(train_ids, dtype=object))
    near: Mask = NearDuplicatesOf(test_texts, threshold).among(train_texts)
    return same | near


def leak_rate(found: Mask, trained_on: Sequence[str], expected: Sequence[str]) -> Estimate:
    """Share of the test texts that were trained on, in [0, 1]; 0: none is known to be.

    NaN with a reason where the manifest of the bundle, or of one that it was made from, names other training data than
    the tables that were compared: what a model was trained on that nobody shows cannot be ruled out. A clean teacher
    says nothing of the texts that its student learned from.

    Args:
        found: see `leaked`.
        trained_on: hashes of training data that the bundle and its parents name, its own first.
        expected: hashes of what was compared; see `ratchet.models.training_data`.
    """
    if not trained_on or set(trained_on) - set(expected):
        return undefined("the bundle was trained on other data than the texts that were compared", len(found))
    return proportion_estimate(int(found.sum()), len(found))


def better_on_test(right_test: Mask, right_validation: Mask) -> Estimate:
    """Accuracy on the test texts minus that on the validation texts, with a normal interval; near 0: both are new.

    A model that learned test texts by heart is far better on them, whatever its manifest says. Validation texts chose
    the best epoch, so an honest difference lies a little below 0.
    """
    from scipy.stats import norm

    n, m = len(right_test), len(right_validation)
    if not n or not m:
        return undefined("there are no texts to compare")
    p, q = float(right_test.mean()), float(right_validation.mean())
    half = norm.ppf(0.975) * float(np.sqrt(p * (1 - p) / n + q * (1 - q) / m))
    return Estimate(p - q, p - q - half, p - q + half, n + m)
