"""Which cells a form of the league has, in the order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.league.cells import Key
from benchmarks.league.contestants import CONTESTANTS
from benchmarks.league.draws import ALL
from benchmarks.league.sets import PACKAGED


@dataclass(frozen=True)
class Form:
    """So many draws of so many labels."""

    n_draws: dict[str, int]
    """Number of labels → draws."""
    sets: tuple[str, ...]
    """Of `PACKAGED`; sets of a folder come in their place."""
    contestants: tuple[str, ...]
    hours: float
    """No cell is begun after so many hours."""
    without_all: tuple[str, ...] = ()
    """Sets that are not run with all labels."""


FORMS = {
    "quick": Form({"100": 1}, ("films",), ("tfidf", "frozen_probe"), 0.1),
    "short": Form(
        {"100": 2, "1500": 2}, ("films", "tweets"), ("tfidf", "frozen_probe", "ratchet", "trainer", "setfit"), 1.0
    ),
    "full": Form({"100": 10, "500": 5, "1500": 5, ALL: 2}, tuple(PACKAGED), tuple(CONTESTANTS), 12.0, ("imdb",)),
}


def keys(form: Form, sets: Sequence[str]) -> list[Key]:
    """The cells of the form, first draws first: wherever it stops, what is there is about even."""
    return [
        Key(data, n_labels, number, contestant)
        for number in range(max(form.n_draws.values()))
        for n_labels, n_draws in form.n_draws.items()
        for data in sets
        for contestant in form.contestants
        if number < min(n_draws, CONTESTANTS[contestant].max_draws)
        and not (n_labels == ALL and data in form.without_all)
    ]
