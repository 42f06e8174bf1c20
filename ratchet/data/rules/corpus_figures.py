"""The figures of a corpus as a whole, once it is known which rows are in quarantine: one row, however many texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.corpus_measures import CorpusMeasures, length_steps
from ratchet.data.rules.profiles import Counts, add_names, distance

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {
    "column": "the corpus's columns with their types, one value each",
    "n_rows": "rows that came in",
    "n_passed": "rows that are not in quarantine",
    "quarantined_rate": "share of the rows that are",
    "quarantined_text_rate": "share of the different texts of which no row passed; copies do not count",
    "copy_rate": "share of the rows whose text came in an earlier row",
    "unlabelled_rate": "share of the rows that passed which have no label",
    "n_rarest_class": "rows that passed of the class that has the fewest",
    "rarest_class_rate": "their share of the labelled rows that passed",
    "label_distance, source_distance, length_distance": "distance of the rows that passed from the accepted data",
}
"""What rules about the whole corpus look at. Shares lie in [0, 1] and are undefined (NaN) of nothing."""
DISTANCES = {"label_distance": "kept_label", "source_distance": "kept_source", "length_distance": "kept_length"}
"""Distance → the part of the profile that it is of."""


class CorpusFigures:
    """Counts the rows of the measured table, a batch at a time."""

    def __init__(self, found: CorpusMeasures) -> None:
        self._found = found
        self.quarantined = np.zeros(len(found.text), dtype=bool)
        """(n_rows,): whether the row is in quarantine."""
        self._n_rows = 0
        self._labels: Counts = {}
        self._sources: Counts = {}

    def add(self, frame: pd.DataFrame, aside: NDArray[np.bool_]) -> None:
        """The next rows, and which of them are in quarantine."""
        self.quarantined[self._n_rows : self._n_rows + len(frame)] = aside
        self._n_rows += len(frame)
        for name, counts in (("label", self._labels), ("source", self._sources)):
            add_names(counts, frame[name][~aside].value_counts(sort=False).to_dict())

    def profile(self) -> dict[str, Counts]:
        """How often each class, source and length occurs among the rows that passed."""
        steps, n = np.unique(length_steps(self.n_words()), return_counts=True)
        lengths = dict(zip(steps.tolist(), n.tolist(), strict=True))
        return {"kept_label": self._labels, "kept_source": self._sources, "kept_length": lengths}

    def n_words(self) -> NDArray[np.int32]:
        """Words of each row that passed, (n_passed,)."""
        words: NDArray[np.int32] = self._found.texts["n_words"].to_numpy()
        return words[self._found.text[~self.quarantined]]

    def n_unlabelled(self) -> int:
        """Rows that passed and have no label."""
        return int((~self.quarantined).sum()) - sum(self._labels.values())

    def class_counts(self, labels: Sequence[str]) -> dict[str, int]:
        """Class → rows that passed."""
        return {label: self._labels.get(label, 0) for label in labels}

    def figures(self, labels: Sequence[str], accepted: Mapping[str, Counts] | None) -> dict[str, float]:
        """The figures of `FIGURES`, without the columns; the distances only where data have been accepted.

        Args:
            labels: the classes of the task.
            accepted: the profile of the data that were accepted last.
        """
        kept = ~self.quarantined
        n_passed, n_labelled = int(kept.sum()), sum(self._labels.values())
        rarest = min(self.class_counts(labels).values(), default=0)
        passed = np.zeros(len(self._found.near.first), dtype=bool)
        passed[self._found.text[kept]] = True
        mine = self.profile()
        return {
            "n_rows": self._n_rows,
            "n_passed": n_passed,
            "quarantined_rate": _mean(self.quarantined),
            "quarantined_text_rate": _mean(~passed),
            "copy_rate": _mean(self._found.n_earlier_twins > 0),
            "unlabelled_rate": self.n_unlabelled() / n_passed if n_passed else math.nan,
            "n_rarest_class": rarest,
            "rarest_class_rate": rarest / n_labelled if n_labelled else math.nan,
            **{name: distance(mine[of], accepted[of]) for name, of in DISTANCES.items() if accepted},
        }


def rarest_class(counts: Mapping[str, int]) -> str:
    """The class with the fewest rows; empty without any."""
    return min(counts, key=lambda label: counts[label], default="")


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan
