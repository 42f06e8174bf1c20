"""The generated corpora: the real shares, hardly a duplicate, every fault where the list says, the same bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.corpora import FAULTS, STRATA, make_corpus, write_corpus
from ratchet.errors import SourceError

N = 4000
PLANTED = dict.fromkeys(FAULTS, 25)


def test_without_faults_rows_are_real_halves_in_the_real_shares_and_differ() -> None:
    corpus = make_corpus(8_000, seed=3)
    rows = list(corpus.rows())
    assert Counter((row[2], row[1]) for row in rows) == {of: STRATA.count(of) * 1000 for of in set(STRATA)}
    assert len({row[0] for row in rows}) > 0.995 * len(rows)  # the real corpus has 188 rows of exact duplicates
    first, second = corpus.texts[rows[0][2], rows[0][1]][:2]
    start, _, end = rows[0][0].partition(first[: len(first) // 2])
    assert start == ""
    assert second.endswith(end[-len(second) // 3 :])


def test_every_fault_is_where_the_list_says_and_nowhere_else() -> None:
    faulty, sound = make_corpus(N, 3, PLANTED), make_corpus(N, 3)
    planted, rows, clean = faulty.planted, list(faulty.rows()), list(sound.rows())
    assert planted["fault"].value_counts().to_dict() == PLANTED
    assert not set(planted["original"]) & set(planted["row"])
    assert [row for row in range(N) if rows[row] != clean[row]] == planted["row"].tolist()
    for row, fault, original in planted.itertuples(index=False):
        text, label, source = clean[original]
        assert original < row
        if fault == "exact_duplicate":
            assert rows[row] == clean[original]
        elif fault == "conflicting_label":
            assert rows[row] == (text, "1" if label == "0" else "0", source)
        else:
            assert len(rows[row][0].split()) < 3


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_hold_the_rows_and_are_the_same_twice(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        write_corpus(path, make_corpus(100, 3, {"few_words": 2}), batch_rows=30)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if suffix == "csv":
        frame = pd.read_csv(paths[0], dtype=str)
    elif suffix == "jsonl":
        frame = pd.read_json(paths[0], lines=True, dtype=False)
    else:
        frame = pd.read_parquet(paths[0])
    assert list(frame.itertuples(index=False, name=None)) == list(make_corpus(100, 3, {"few_words": 2}).rows())


def test_too_much_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot be made"):
        make_corpus(20, 3, {"few_words": 11})
    with pytest.raises(SourceError, match="at most"):
        make_corpus(10**9, 3)
