"""The measured table of a corpus: one row a text, without the text: what it is like, what it has in common with others.

Texts are measured once each: rows of the same id, twins, differ in case and spacing only, and what is measured of the
first of them holds for all. So a corpus with many copies costs little more than one without. What is kept takes a few
bytes a text; the rows of the table are put together batch by batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.batches import Batches
from ratchet.data.near_duplicates import NearDuplicates, NearDuplicateSearch
from ratchet.data.rules.measures import measure_texts
from ratchet.data.shingles import Shingles

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

MEASURES = {
    "id, label, source": "the row's own, and every metadata column",
    "n_earlier_twins": "rows before it with the same text, but for case and spacing, where labelled ones come first",
    "n_twin_labels": "different labels among the rows with the same text",
    "n_near_duplicates": "1 where an earlier, different text shares most of its three-word shingles, else 0",
}
"""The columns of the measured table beyond those that are measured of each text."""


@dataclass(frozen=True)
class CorpusMeasures:
    """What was measured of a corpus."""

    texts: pyarrow.Table
    """What was measured of each different text, in their order; `n_near_duplicates` is that of its first row."""
    near: NearDuplicates
    """Near-duplicates among the different texts, in their order."""
    text: NDArray[np.int32]
    """(n_rows,): the place of each row's text among the different texts."""
    n_earlier_twins: NDArray[np.int32]
    """(n_rows,)."""

    def n_pairs(self, kept: NDArray[np.bool_] | None = None) -> int:
        """Pairs of near-duplicate rows, copies included, among all rows or those kept."""
        chosen = self.text if kept is None else self.text[kept]
        return self.near.n_pairs(np.bincount(chosen, minlength=len(self.near.first)))

    def measured(self, batch: pd.DataFrame, start: int) -> pd.DataFrame:
        """The rows of the measured table for a batch of the corpus whose first row is row `start`."""
        rows = slice(start, start + len(batch))
        found: pd.DataFrame = self.texts.take(self.text[rows]).to_pandas()
        found["n_earlier_twins"] = self.n_earlier_twins[rows]
        found["n_near_duplicates"] = found["n_near_duplicates"].where(found["n_earlier_twins"] == 0, 0)
        own = [name for name in batch.columns if name != "text" and name not in found.columns]
        return found.assign(**{name: batch[name].array for name in own})


def measure_corpus(
    read: Batches, names: Collection[str], threshold: float, regions: Sequence[str], folder: Path | None = None
) -> CorpusMeasures:
    """What rules look at by `names`, and what reports need, of every row.

    Args:
        read: the corpus, read three times.
        names: columns of the measured table.
        threshold: Jaccard similarity from which two texts count as near-duplicates.
        regions: see `find_personal_data`.
        folder: for temporary files.
    """
    import pyarrow

    ids, labels = _read_codes(read)
    firsts, text = _different(ids)
    parts: list[pyarrow.Table] = []
    with NearDuplicateSearch(threshold, folder) as search:
        for texts in _texts_at(read, firsts):
            shingles = Shingles([text or "" for text in texts])
            search.add(shingles)
            parts.append(pyarrow.table(measure_texts(texts, {*names, "n_words"}, regions, shingles.n_words)))
        near = search.finish([text or "" for text in texts] for texts in _texts_at(read, firsts))
    parts = parts or [pyarrow.table(measure_texts([], {*names, "n_words"}, regions))]
    found = pyarrow.concat_tables(parts).unify_dictionaries().combine_chunks()
    of_texts = {"n_twin_labels": _n_labels(labels, text), "n_near_duplicates": near.n_earlier()}
    for name, values in of_texts.items():
        found = found.append_column(name, pyarrow.array(values.astype(np.int32)))
    return CorpusMeasures(found, near, text.astype(np.int32), _earlier(text, labels).astype(np.int32))


def length_steps(n_words: Any) -> NDArray[np.int64]:
    """Lengths in steps of a quarter of a doubling, so that a profile of them stays small.

    >>> length_steps(np.array([0, 1, 15, 16, 1000])).tolist()
    [0, 4, 16, 16, 40]
    """
    steps: NDArray[np.int64] = np.rint(4 * np.log2(1 + np.asarray(n_words))).astype(np.int64)
    return steps


def _read_codes(read: Batches) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A number for the id and for the label of each row, (n_rows,) each: equal for equal ones, -1 for missing ones."""
    import pyarrow

    parts: list[list[pyarrow.Array]] = [[], []]
    for frame in read(["id", "label"]):
        for name, values in zip(("id", "label"), parts, strict=True):
            values.append(pyarrow.array(frame[name], type=pyarrow.large_string(), from_pandas=True))
    ids, labels = (pyarrow.chunked_array(values, type=pyarrow.large_string()) for values in parts)
    return codes(ids), codes(labels)


def codes(column: pyarrow.ChunkedArray) -> NDArray[np.int32]:
    """A number for each value, equal for equal ones, -1 where it is missing, (n_rows,)."""
    indices = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    numbers: NDArray[np.int32] = indices.to_numpy(zero_copy_only=False).astype(np.int32)
    return numbers


def _different(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each different id, and for each row the place of its text among these.

    >>> [part.tolist() for part in _different(np.array([5, 2, 5, -1, 2, -1], dtype=np.int32))]
    [[0, 1, 3, 5], [0, 1, 0, 2, 1, 3]]
    """
    own = codes.astype(np.int64)
    absent = codes < 0
    own[absent] = codes.max(initial=0) + 1 + np.arange(int(absent.sum()))  # a row without an id is alone
    _, first, groups = np.unique(own, return_index=True, return_inverse=True)
    firsts = np.sort(first)
    return firsts, np.searchsorted(firsts, first[groups])


def _texts_at(read: Batches, rows: NDArray[np.int64]) -> Iterator[list[str | None]]:
    """The texts of the chosen rows, which are sorted, a batch at a time."""
    start = 0
    for frame in read(["text"]):
        low, high = np.searchsorted(rows, [start, start + len(frame)])
        chosen = frame["text"].iloc[rows[low:high] - start]
        start += len(frame)
        if len(chosen):
            yield [text if isinstance(text, str) else None for text in chosen.tolist()]


def _earlier(text: NDArray[np.int64], labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """How many rows with the same text come before each, where those with a label come before those without, (n_rows,).

    So of twins the first labelled row has none before it, and the label is kept.

    >>> _earlier(np.array([0, 1, 0, 0]), np.array([-1, 3, 2, 2])).tolist()
    [2, 0, 0, 1]
    """
    order = np.lexsort((labels < 0, text))
    ordered = text[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(text) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(text)))
    found = np.empty(len(text), dtype=np.int64)
    found[order] = np.arange(len(text)) - np.repeat(starts, sizes)
    return found


def _n_labels(labels: NDArray[np.int32], text: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many different labels the rows of each text have, (n_texts,); missing ones do not count."""
    known, n_labels = labels >= 0, int(labels.max(initial=0)) + 1
    pairs = np.unique(text[known] * n_labels + labels[known])
    return np.bincount(pairs // n_labels, minlength=int(text.max(initial=-1)) + 1)
