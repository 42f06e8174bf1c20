"""Fixed test texts of a set, and the labels of each draw: both follow from ids and a salt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.league.sets import Labelled
from ratchet.data.sampling import smallest_hashes, unit_hash
from ratchet.files import sha256_json

SALT = "league-1"
TEST_RATE, MAX_TEST = 0.25, 2000
"""Share of the groups of near-duplicates that test, and texts of them that are used at most."""
AT_LEAST = 2
"""Labels of each class in every draw."""
ALL = "all"
"""The number of labels of a draw that takes all."""


@dataclass(frozen=True)
class Drawn:
    """What the contestants of a cell train on, and are tested on."""

    texts: list[str]
    targets: list[int]
    test_texts: list[str]
    test_targets: NDArray[np.int64]
    sha256: str
    """Of the ids and labels that are trained on."""
    test_sha256: str
    """Of the ids and labels that are tested on. A cell of other texts is stale."""


def sides(data: Labelled) -> tuple[list[int], list[int]]:
    """Positions of the texts whose labels may be drawn, and of the test texts; near-duplicates are on one side."""
    tested = np.array([unit_hash(group, SALT) < TEST_RATE for group in data.groups], dtype=bool)
    pool, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    ids, labels = [data.ids[row] for row in test], [data.labels[row] for row in test]
    return pool.tolist(), test[smallest_hashes(ids, labels, SALT, MAX_TEST, AT_LEAST)].tolist()


def draw(data: Labelled, n_labels: str, number: int) -> Drawn | None:
    """So many labels, each class by its share and twice at least; None where there are not enough of them.

    The classes' shares are those of the pool, and which texts they are follows from the draw's number.
    """
    pool, test = sides(data)
    rows = pool
    if n_labels != ALL:
        n = int(n_labels)
        if n > len(pool) or n < AT_LEAST * len(data.classes):
            return None
        ids, labels = [data.ids[row] for row in pool], [data.labels[row] for row in pool]
        rows = [pool[at] for at in smallest_hashes(ids, labels, f"{SALT} draw {number}", n, AT_LEAST)]
    order = np.random.default_rng(number).permutation(len(rows))  # the source's order may be by class
    rows = [rows[at] for at in order]
    index = {label: at for at, label in enumerate(data.classes)}
    targets = [index[data.labels[row]] for row in rows]
    if np.bincount(targets, minlength=len(data.classes)).min() < AT_LEAST:
        return None
    return Drawn(
        texts=[data.texts[row] for row in rows],
        targets=targets,
        test_texts=[data.texts[row] for row in test],
        test_targets=np.array([index[data.labels[row]] for row in test], dtype=np.int64),
        sha256=_sha256(data, rows),
        test_sha256=_sha256(data, test),
    )


def _sha256(data: Labelled, rows: list[int]) -> str:
    return sha256_json([[data.ids[row], data.labels[row]] for row in rows])
