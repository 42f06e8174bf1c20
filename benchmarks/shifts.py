"""Batches of requests with a planted shift: another domain, another share of a class, typos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.monitoring.drift import Sample, joined

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """Features of texts that batches are drawn from; row i of `clean` and of `mistyped` is the same text."""

    clean: Sample
    """The domain that was trained on."""
    mistyped: Sample
    """The same texts with typos."""
    other: Sample
    """The other domain."""
    y_clean: NDArray[np.int64]
    """Classes of the first two, (n,)."""
    y_other: NDArray[np.int64]
    """Classes of the other domain."""

    def batch(self, rows: Rows) -> Sample:
        """The rows as one sample."""
        return joined(
            joined(self.mistyped.rows(rows.mistyped), self.clean.rows(rows.clean)), self.other.rows(rows.other)
        )


@dataclass(frozen=True)
class Shift:
    """What is planted into a batch."""

    name: str
    other_rate: float = 0.0
    """Share of texts of the other domain."""
    prior_points: float = 0.0
    """How much more of the last class there is, as a difference of shares."""
    typo_rate: float = 0.0
    """Share of texts with typos."""


SHIFTS = (
    Shift("none"),
    Shift("other domain +5 points", other_rate=0.05),
    Shift("other domain +10 points", other_rate=0.10),
    Shift("other domain +20 points", other_rate=0.20),
    Shift("other domain only", other_rate=1.0),
    Shift("class prior +10 points", prior_points=0.10),
    Shift("class prior +20 points", prior_points=0.20),
    Shift("typos in 10 % of texts", typo_rate=0.10),
    Shift("typos in 30 % of texts", typo_rate=0.30),
)


class Rows(NamedTuple):
    """The rows of a batch."""

    mistyped: Indices
    clean: Indices
    other: Indices


def plant(
    shift: Shift, material: Material, pool: Indices, n: int, rng: np.random.Generator
) -> tuple[Sample, NDArray[np.int64]]:
    """A batch of `n` rows and their classes, see `plant_rows`."""
    rows = plant_rows(shift, material, pool, n, rng)
    y = [material.y_clean[rows.mistyped], material.y_clean[rows.clean], material.y_other[rows.other]]
    return material.batch(rows), np.concatenate(y)


def plant_rows(shift: Shift, material: Material, pool: Indices, n: int, rng: np.random.Generator) -> Rows:
    """`n` rows, drawn without replacement from the pool's rows of the domain and from all of the other domain's."""
    chosen = _with_prior(shift.prior_points, material.y_clean, pool, n, rng)
    n_other, n_typos = round(shift.other_rate * n), round(shift.typo_rate * n)
    strangers = rng.choice(len(material.other), n_other, replace=False)
    return Rows(chosen[:n_typos], chosen[n_typos : n - n_other], strangers)


def _with_prior(points: float, y: NDArray[np.int64], pool: Indices, n: int, rng: np.random.Generator) -> Indices:
    """`n` rows of the pool in random order, with so much more of the last class than the pool has.

    Where the pool has too few of that class, its rows are drawn twice.
    """
    pool = rng.permutation(pool)
    if not points:
        return pool[:n]
    last = y[pool] == y.max()
    n_last = round(n * (float(last.mean()) + points))
    chosen = [_draw(pool[last], n_last, rng), _draw(pool[~last], n - n_last, rng)]
    return rng.permutation(np.concatenate(chosen))


def _draw(rows: Indices, n: int, rng: np.random.Generator) -> Indices:
    return np.concatenate([rows, rng.choice(rows, max(0, n - len(rows)))])[:n]


def with_typos(texts: Sequence[str], rng: np.random.Generator, rate: float = 0.2) -> list[str]:
    """The texts with a slip in `rate` of their words of at least four letters, and in one word at least.

    A slip exchanges two letters, drops one, doubles one or replaces one, at random.

    >>> with_typos(["a wonderful film"], np.random.default_rng(0), 1.0)[0] != "a wonderful film"
    True
    """
    return [_slip_in(text.split(), rng, rate) for text in texts]


def _slip_in(words: list[str], rng: np.random.Generator, rate: float) -> str:
    long = [place for place, word in enumerate(words) if len(word) >= 4]
    if not long:
        return " ".join(words)
    hit = [place for place in long if rng.random() < rate] or [int(rng.choice(long))]
    for place in hit:
        words[place] = _slip(words[place], rng)
    return " ".join(words)


def _slip(word: str, rng: np.random.Generator) -> str:
    at, kind = int(rng.integers(0, len(word) - 1)), int(rng.integers(0, 4))
    letter = chr(ord("a") + int(rng.integers(0, 26)))
    middle = (word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1], letter + word[at + 1])[kind]
    return word[:at] + middle + word[at + 2 :]
