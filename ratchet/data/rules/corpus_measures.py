"""The measures of a corpus: of its texts, of what its rows have in common, and of the whole.

Texts are measured once each: rows of the same id, twins, differ in case and spacing only, and what is measured of the
first of them holds for all. So a corpus with many copies costs little more than one without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.batches import Batches
from ratchet.data.near_duplicates import NearDuplicates, NearDuplicateSearch
from ratchet.data.rules.measures import measure_texts, missing
from ratchet.data.rules.tallies import Measure, Names, encode, join, take
from ratchet.data.shingles import Shingles

MEASURES = {
    "column": "columns of the table with their types",
    "missing_id, missing_text, missing_source": "1 where the value is missing, else 0",
    "label, source": "the row's label and source",
    "n_earlier_twins": "earlier rows with the same text, but for case and spacing",
    "n_twin_labels": "different labels among the rows with the same text",
    "n_near_duplicates": "1 where an earlier, different text shares most of its three-word shingles, else 0",
    "quarantined, passed": "1 where the row is in quarantine, and where it is not, else 0",
    "unlabelled": "1 where a row that passed has no label, else 0",
    "kept_label, kept_source, kept_length": "label, source and length of the rows that passed",
}
"""The measures beyond those of each text. kept_length: words in steps of a quarter of a doubling."""


@dataclass(frozen=True)
class CorpusMeasures:
    """What was measured of a corpus."""

    rows: dict[str, Measure]
    """Measure → value of each row, (n_rows,)."""
    near: NearDuplicates
    """Near-duplicates among the different texts, in their order."""
    text: NDArray[np.int64]
    """(n_rows,): the place of each row's text among the different texts."""

    def n_pairs(self, kept: NDArray[np.bool_] | None = None) -> int:
        """Pairs of near-duplicate rows, copies included, among all rows or those kept."""
        chosen = self.text if kept is None else self.text[kept]
        return self.near.n_pairs(np.bincount(chosen, minlength=len(self.near.first)))


def measure_corpus(
    read: Batches, names: Collection[str], threshold: float, regions: Sequence[str], folder: Path | None = None
) -> CorpusMeasures:
    """The measures of every row that rules look at by `names`, and some that reports need.

    Args:
        read: the corpus, read three times.
        names: measures.
        threshold: Jaccard similarity from which two texts count as near-duplicates.
        regions: see `find_personal_data`.
        folder: for temporary files.
    """
    rows = _read_rows(read)
    ids = rows.pop("id")
    assert isinstance(ids, Names)
    firsts, text = _different(ids.codes)
    parts: list[dict[str, Measure]] = []
    with NearDuplicateSearch(threshold, folder) as search:
        for texts, absent in _texts_at(read, firsts):
            shingles = Shingles(texts)
            search.add(shingles)
            measures = measure_texts(texts, {*names, "n_words"}, regions, {"n_words": shingles.n_words})
            parts.append({**measures, "missing_text": absent})
        near = search.finish(texts for texts, _ in _texts_at(read, firsts))
    found = {name: take(join([part[name] for part in parts]), text) for name in (parts[0] if parts else ())}
    near_duplicates = np.zeros(len(text), dtype=np.int64)
    near_duplicates[firsts] = near.n_earlier()
    twins = {
        "n_earlier_twins": _earlier(text),
        "n_twin_labels": _n_labels(rows["label"], text),
        "n_near_duplicates": near_duplicates,
    }
    return CorpusMeasures({**rows, **found, **twins}, near, text)


def corpus_measures(rows: dict[str, Measure], quarantined: NDArray[np.bool_]) -> dict[str, Measure]:
    """The measures of the corpus as a whole, once it is known which rows go to quarantine, (n_rows,)."""
    kept = ~quarantined
    label = take(rows["label"], kept)
    words = take(rows["n_words"], kept)
    assert isinstance(label, Names)
    return {
        "quarantined": quarantined.astype(np.int64),
        "passed": kept.astype(np.int64),
        "unlabelled": (label.codes < 0).astype(np.int64),
        "kept_label": label,
        "kept_source": take(rows["source"], kept),
        "kept_length": length_steps(words),
    }


def length_steps(n_words: Any) -> NDArray[np.int64]:
    """Lengths in steps of a quarter of a doubling, so that a profile of them stays small.

    >>> length_steps(np.array([0, 1, 15, 16, 1000])).tolist()
    [0, 4, 16, 16, 40]
    """
    steps: NDArray[np.int64] = np.rint(4 * np.log2(1 + np.asarray(n_words))).astype(np.int64)
    return steps


def _read_rows(read: Batches) -> dict[str, Measure]:
    """The measures that need no text, and `id`."""
    import pyarrow

    parts: dict[str, list[Measure]] = {}
    for frame in read(["id", "label", "source"]):
        for name in ("id", "label", "source"):
            column = pyarrow.array(frame[name], from_pandas=True)
            parts.setdefault(name, []).append(_encode(column) if name != "id" else column)
            if name != "label":
                parts.setdefault(f"missing_{name}", []).append(missing(column))
    rows = {name: join(values) for name, values in parts.items() if name != "id"}
    ids = pyarrow.chunked_array(parts.get("id", []), type=parts["id"][0].type if parts else pyarrow.string())  # type: ignore[union-attr]
    rows["id"] = _encode(ids.combine_chunks())
    return rows or {"id": encode([])}


def _encode(column: Any) -> Names:
    """An Arrow column of strings as names; the ids' own strings are not kept."""
    encoded = column.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    few = len(encoded.dictionary) < 10_000
    return Names(codes, encoded.dictionary.to_pylist() if few else range(len(encoded.dictionary)))  # type: ignore[arg-type]


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


def _texts_at(read: Batches, rows: NDArray[np.int64]) -> Iterator[tuple[list[str], NDArray[np.int64]]]:
    """The texts of the chosen rows, which are sorted, a batch at a time: missing ones empty, and which are missing."""
    start = 0
    for frame in read(["text"]):
        low, high = np.searchsorted(rows, [start, start + len(frame)])
        chosen = frame["text"].iloc[rows[low:high] - start]
        start += len(frame)
        if len(chosen):
            yield chosen.fillna("").tolist(), chosen.isna().to_numpy().astype(np.int64)


def _earlier(text: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many earlier rows have the same text."""
    order = np.argsort(text, kind="stable")
    ordered = text[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(text) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(text)))
    found = np.empty(len(text), dtype=np.int64)
    found[order] = np.arange(len(text)) - np.repeat(starts, sizes)
    return found


def _n_labels(label: Measure, text: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many different labels the rows with the same text have; missing ones do not count."""
    assert isinstance(label, Names)
    n_labels = len(label.names) + 1
    pairs = np.unique(text[label.codes >= 0] * n_labels + label.codes[label.codes >= 0])
    return np.bincount(pairs // n_labels, minlength=int(text.max(initial=0)) + 1)[text]
