"""Weak slices: groups of texts on which a model errs more than chance allows, out of all groups that were looked at.

Whoever looks at a thousand groups finds some that look weak on noise alone. So the errors are dealt out anew among the
texts, thousands of times, and a group counts as weak only where its excess is larger than the largest of all groups is
in nearly all of these deals: the chance that noise is called weak anywhere is at most `alpha`, whatever the overlap.

Source: Westfall & Young 1993, Resampling-Based Multiple Testing (maxT, step-down); the groups are conjunctions of at
most two predicates, as in Sagadeeva & Boehm 2021, SliceLine, https://doi.org/10.1145/3448016.3457323.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
BATCH = 250
"""Permutations held in memory at once."""


@dataclass(frozen=True)
class Weakness:
    """One slice: its predicates, its size, its errors, and the p-value that accounts for all slices tried."""

    predicates: tuple[str, ...]
    n: int
    n_errors: int
    excess: float
    """Errors above what chance deals it, in standard deviations."""
    p_value: float

    @property
    def error_rate(self) -> float:
        """Share of its texts that are wrong, in [0, 1]."""
        return self.n_errors / self.n


def conjunctions(
    atoms: Mapping[str, Mask], min_size: int, max_share: float, disjoint: Mapping[str, str] | None = None
) -> dict[tuple[str, ...], Mask]:
    """Every atom and every pair of atoms with at least `min_size` rows and at most `max_share` of all.

    Pairs that hold the same rows as a simpler slice, or an earlier pair, are left out: they are the same slice.

    Args:
        atoms: predicate → its rows, (n,).
        min_size: fewest rows of a slice.
        max_share: largest share of the rows, in (0, 1]: what is nearly everything is no slice.
        disjoint: predicate → its feature; two predicates of one feature are not paired.
    """
    feature = disjoint or {}
    slices: dict[tuple[str, ...], Mask] = {}
    seen: set[bytes] = set()
    names = sorted(atoms)
    frequent = [name for name in names if atoms[name].sum() >= min_size]
    pairs = (
        (first, second)
        for at, first in enumerate(frequent)
        for second in frequent[at + 1 :]
        if feature.get(first, first) != feature.get(second, second)
    )
    for predicates in [*((name,) for name in frequent), *pairs]:
        mask = atoms[predicates[0]] if len(predicates) == 1 else atoms[predicates[0]] & atoms[predicates[1]]
        size, key = int(mask.sum()), np.packbits(mask).tobytes()
        if min_size <= size <= max_share * len(mask) and key not in seen:
            seen.add(key)
            slices[predicates] = mask
    return slices


def weak_slices(
    slices: Mapping[tuple[str, ...], Mask], wrong: Mask, alpha: float, n_permutations: int, rng: np.random.Generator
) -> list[Weakness]:
    """The slices that are weak at the family-wise level `alpha`, smallest p-value and largest excess first.

    Args:
        slices: predicates → rows, (n,) each.
        wrong: whether each text was misclassified, (n,).
        alpha: largest chance that any slice is named when errors fall on texts at random.
        n_permutations: deals of the errors; p-values are at least 1 / (n_permutations + 1).
        rng: source of the deals.
    """
    n, n_wrong = len(wrong), int(wrong.sum())
    if not slices or n < 2 or n_wrong in (0, n):
        return []
    names = list(slices)
    member = np.stack([slices[name] for name in names]).astype(np.float32)  # (n_slices, n)
    size = member.sum(axis=1)
    # mean and deviation of a hypergeometric count: n_wrong errors dealt among n texts
    mean = size * n_wrong / n
    deviation = np.sqrt(np.maximum(mean * (1 - n_wrong / n) * (n - size) / (n - 1), 1e-12))
    counts = member @ wrong.astype(np.float32)
    excess = (counts - mean) / deviation
    order = np.argsort(-excess, kind="stable")
    beaten = np.zeros(len(names))
    for start in range(0, n_permutations, BATCH):
        deals = np.stack([rng.permutation(wrong) for _ in range(min(BATCH, n_permutations - start))]).astype(np.float32)
        z = ((deals @ member.T) - mean) / deviation  # (n_deals, n_slices)
        # step-down: a slice competes with those whose own excess is no larger
        rest = np.maximum.accumulate(z[:, order[::-1]], axis=1)[:, ::-1]
        beaten += (rest >= excess[order] - 1e-6).sum(axis=0)
    p_value = np.maximum.accumulate((1 + beaten) / (1 + n_permutations))
    return [
        Weakness(names[row], int(size[row]), int(counts[row]), float(excess[row]), float(p))
        for row, p in zip(order, p_value, strict=True)
        if p <= alpha
    ]


def distinct(found: Sequence[Weakness], slices: Mapping[tuple[str, ...], Mask], max_overlap: float) -> list[Weakness]:
    """The slices without those that mostly repeat an earlier one: shared rows ÷ rows of either > `max_overlap`."""
    kept: list[Weakness] = []
    for item in found:
        mask = slices[item.predicates]
        others = [slices[other.predicates] for other in kept]
        if all((mask & other).sum() <= max_overlap * (mask | other).sum() for other in others):
            kept.append(item)
    return kept


def distinctive_words(bags: Sequence[frozenset[str]], inside: Mask, n_words: int, prior: float = 0.5) -> list[str]:
    """The words whose share of texts is raised most in the slice, largest log-odds ratio in deviations first.

    A word in one text counts once. Only words that are more frequent inside than outside are named.

    Source: Monroe, Colaresi & Quinn 2008, Fightin' Words, https://doi.org/10.1093/pan/mpn018, with a flat prior.
    """
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    counts: dict[str, list[int]] = {}
    for bag, within in zip(bags, inside, strict=True):
        for word in bag:
            counts.setdefault(word, [0, 0])[0 if within else 1] += 1

    def raised(word: str) -> float:
        a, b = counts[word]
        odds = np.log((a + prior) / (n_in - a + prior)) - np.log((b + prior) / (n_out - b + prior))
        return float(odds / np.sqrt(1 / (a + prior) + 1 / (b + prior)))

    ranked = sorted(((raised(word), word) for word in counts), key=lambda item: (-item[0], item[1]))
    return [word for score, word in ranked[:n_words] if score > 0]
