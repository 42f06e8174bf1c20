"""A table through a bundle: every row once, the same after a kill, and nothing that is not the rest's."""

from __future__ import annotations

import csv
import errno
import fcntl
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from flows.init.sources import Given, place_of
from ratchet.data.cleaning import clean
from ratchet.data.sources.rows import Batch, frame_of
from ratchet.data.sources.source import Source
from ratchet.engines.loading import load
from ratchet.errors import BundleError, ScoreError, SourceError
from ratchet.files import read_json
from ratchet.scoring import scorer
from ratchet.scoring.job import Done, Job, score
from ratchet.scoring.scorer import Asked, batch_size_for
from ratchet.scoring.shards import in_shards
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews

ASKED = Asked("text", ("ref", "note"), ("en",), 0.0, 0.0, 0.0, 64)
N = 23


class KilledError(Exception):
    """What ends a run in the middle."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture
def job(bundle: Path, tmp_path: Path) -> Job:
    """23 rows in shards of five; one has no text, one is long, one is German; notes hold personal data."""
    texts = reviews(N, 1)["text"].tolist()
    texts[3], texts[7] = "", "the film is a story " * 20
    texts[11] = "Das ist ein ganz und gar wunderbarer Film über eine lange Reise durch die Berge."
    rows = [[text, f"r{row}", f"ask jo{row}@example.org"] for row, text in enumerate(texts)]
    return Job(source_of(tmp_path, write(tmp_path / "texts.csv", rows)), bundle, tmp_path / "out", ASKED, 5, 0, 1)


def write(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "ref", "note"], *rows])
    return path


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def source_of(root: Path, path: Path) -> Any:
    return TypeAdapter(Source).validate_python(place_of(root, Given(str(path), copy=False)).now)


def run(job: Job, after: int | None = None) -> Done:
    """Score; with `after` it is killed when so many rows are done."""

    def told(n_rows: int, _n_scored: int, _seconds: float) -> None:
        if after is not None and n_rows >= after:
            raise KilledError

    return score(job, told)


def shards(folder: Path, kind: str = "part") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob(f"{kind}-*.parquet"))}


def scores(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("part-*.parquet"))], ignore_index=True)


def test_every_row_has_what_the_bundle_says_of_it_and_no_text(job: Job) -> None:
    done = run(job)
    assert (done.n_rows, done.n_scored, done.n_bad_rows, sum(done.labels.values())) == (N, N, 0, N - 1)
    found, predictor = scores(job.out), load(job.bundle, 1)
    given_texts = pd.read_csv(job.source.path, keep_default_na=False)["text"].tolist()
    assert found["row"].tolist() == list(range(N))
    assert found["ref"].tolist() == [f"r{row}" for row in range(N)]
    assert set(found["note"]) == {"ask [EMAIL]"}
    there = np.array([bool(text) for text in given_texts])
    assert found.loc[~there, ["id", "label", "confidence"]].isna().all(axis=None)
    texts = clean([text for text in given_texts if text], predictor.manifest.cleaning).texts
    expected = predictor.predict_proba(texts)
    columns = [f"proba_{label}" for label in predictor.labels]
    np.testing.assert_allclose(found.loc[there, columns].to_numpy(), expected, atol=1e-5)
    assert found.loc[there, "label"].tolist() == [predictor.labels[best] for best in expected.argmax(axis=1)]
    assert found.index[found["too_long"]].tolist() == [7]
    assert found.index[found["other_language"]].tolist() == [11]
    assert "other_domain" not in found
    assert found["bundle"].nunique() == 1
    for content in shards(job.out).values():
        assert b"example.org" not in content
        assert b"wunderbarer" not in content
    record = read_json(job.out / "score.json")
    assert (record["is_complete"], record["n_rows"], record["n_shards"]) == (True, N, 5)


@pytest.mark.parametrize("after", [5, 10, 23])
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(job: Job, tmp_path: Path, after: int) -> None:
    undisturbed = replace(job, out=tmp_path / "undisturbed", asked=replace(ASKED, explain_rate=0.5))
    run(undisturbed)
    job = replace(undisturbed, out=tmp_path / "out")
    with pytest.raises(KilledError):
        run(job, after)
    first = {path: path.stat().st_mtime_ns for path in job.out.glob("part-*.parquet")}
    assert len(first) == -(-after // 5)
    assert not read_json(job.out / "score.json")["is_complete"]
    assert run(job).n_scored == N - min(5 * len(first), N)
    assert {path: path.stat().st_mtime_ns for path in first} == first
    for kind in ("part", "words"):
        assert shards(job.out, kind) == shards(undisturbed.out, kind)
    assert run(job).n_scored == 0


def test_what_cannot_be_written_leaves_the_rest_as_it_is(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KilledError):
        run(job, 10)
    before, real = shards(job.out), pyarrow.parquet.write_table

    def full(table: Any, path: Path, **options: Any) -> None:
        real(table, path, **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    with pytest.raises(ScoreError, match="disk is full") as error:
        run(job)
    assert "carries on" in str(error.value)
    assert shards(job.out) == before
    assert {path.name for path in job.out.iterdir()} == {*before, "score.json", ".lock"}
    monkeypatch.undo()
    assert run(job).n_scored == 13


def test_a_damaged_shard_is_made_again(job: Job) -> None:
    run(job)
    before = shards(job.out)
    path = job.out / "part-000002.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    assert run(job).n_scored == 5
    assert shards(job.out) == before


@pytest.mark.parametrize("change", ["a row", "fewer"])
def test_a_source_that_changed_is_refused(job: Job, change: str) -> None:
    run(job)
    path, before = Path(job.source.path), shards(job.out)
    rows = rows_of(path)
    if change == "a row":
        rows[12][0] += " indeed"
    write(path, rows[:15] if change == "fewer" else rows)
    with pytest.raises(ScoreError, match=r"has changed|fewer rows") as error:
        run(job)
    assert "another folder" in str(error.value)
    assert shards(job.out) == before


def test_rows_that_were_added_are_scored(job: Job) -> None:
    rows = rows_of(Path(job.source.path))
    write(Path(job.source.path), rows[:17])
    assert run(job).n_scored == 17
    first = shards(job.out)["part-000000.parquet"]
    write(Path(job.source.path), rows)
    assert run(job).n_scored == 8  # the last shard had only two of its five rows
    assert scores(job.out)["row"].tolist() == list(range(N))
    assert shards(job.out)["part-000000.parquet"] == first


def test_a_folder_holds_the_scores_of_one_run(job: Job, bundle: Path, tmp_path: Path) -> None:
    run(job)
    other = torch_bundle(tmp_path / "others", "other", n_layers=2)
    with pytest.raises(ScoreError, match="another run: bundle differ"):
        run(replace(job, bundle=other))
    with pytest.raises(ScoreError, match="another run: keep differ"):
        run(replace(job, asked=replace(ASKED, keep=("ref",))))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.doc").write_text("x")
    with pytest.raises(ScoreError, match="holds no scores") as error:
        run(replace(job, out=tmp_path / "full"))
    assert "thesis.doc" in str(error.value)
    with (job.out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ScoreError, match="Another process"):
            run(job)
    (other / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"SHA-256 differs"):
        run(replace(job, bundle=other, out=tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_column_that_one_file_lacks_is_named_and_what_is_done_stays(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    frame = reviews(10, 4)[["text"]].assign(ref="a", note="b")
    frame.to_parquet(folder / "a.parquet")
    frame[["text", "ref"]].to_parquet(folder / "b.parquet")
    job = replace(job, source=source_of(tmp_path, folder))
    with pytest.raises(SourceError, match="no column 'note'") as error:
        run(job)
    assert "b.parquet" in str(error.value)
    assert len(shards(job.out)) == 2
    frame.to_parquet(folder / "b.parquet")
    assert (done := run(job)).n_rows == 20
    assert done.n_scored == 10


def test_records_that_cannot_be_read_are_kept_apart(job: Job, tmp_path: Path) -> None:
    path = Path(job.source.path)
    path.write_text(path.read_text(encoding="utf-8") + "one,two,three,four\n", encoding="utf-8")
    with pytest.raises(SourceError, match="cannot be read exactly"):
        run(job)
    done = run(replace(job, max_bad_rows=1))
    assert (done.n_rows, done.n_bad_rows) == (N, 1)
    assert pd.read_parquet(job.out / "bad_rows.parquet")["raw"].tolist() == [b"one,two,three,four\n"]


def test_words_are_explained_of_a_sample_and_of_the_unsure(job: Job) -> None:
    run(replace(job, asked=replace(ASKED, explain_rate=0.4)))
    found = scores(job.out)
    words = pd.concat([pd.read_parquet(path) for path in sorted(job.out.glob("words-*.parquet"))])
    rows = set(words["row"])
    assert 3 <= len(rows) <= 16
    row = min(rows)
    text = pd.read_csv(job.source.path, keep_default_na=False)["text"][row]
    told = words[words["row"] == row]
    assert told["word"].tolist() == re.findall(r"\w+", text)
    assert set(told["label"]) == {found["label"][row]}
    middle = float(found["confidence"].median())
    unsure = replace(job, out=job.out.with_name("unsure"), asked=replace(ASKED, explain_below=middle))
    run(unsure)
    words = pd.concat([pd.read_parquet(path) for path in sorted(unsure.out.glob("words-*.parquet"))])
    assert set(words["row"]) == set(found.index[found["confidence"] < middle])


def test_a_text_of_little_confidence_is_flagged_where_the_audit_has_measured_it(job: Job) -> None:
    run(job)
    middle = float(scores(job.out)["confidence"].median())
    flagged = replace(job, out=job.out.with_name("flagged"), asked=replace(ASKED, unsure_below=middle))
    run(flagged)
    found = scores(flagged.out)
    assert found["other_domain"].tolist() == (found["confidence"] < middle).tolist()


@given(
    lengths=st.lists(st.integers(0, 9), max_size=8),
    n_rows=st.integers(1, 12),
)
def test_shards_hold_all_rows_in_their_order(lengths: list[int], n_rows: int) -> None:
    ends = np.cumsum([0, *lengths]).tolist()
    batches = [
        Batch("x", start, frame_of({"text": [str(row) for row in range(start, end)]})) for start, end in pairwise(ends)
    ]
    found = [frame["text"].tolist() for frame in in_shards(batches, n_rows)]
    assert [row for shard in found for row in shard] == [str(row) for row in range(ends[-1])]
    assert all(len(shard) == n_rows for shard in found[:-1])
    assert all(found)


def test_the_fastest_batch_size_is_taken_and_of_equals_the_smallest(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {16: 1.01, 32: 1.0, 128: 2.0}

    def taken(costs: dict[int, float]) -> int:
        now = [0.0]

        class Timed:
            def __init__(self, size: int) -> None:
                self.size = size

            def predict_proba(self, texts: list[str]) -> None:
                now[0] += costs[self.size]

        monkeypatch.setattr(scorer, "load", lambda _bundle, _threads, size: Timed(size))
        return batch_size_for(bundle, ["x"] * 9, 1, clock=lambda: now[0])

    assert taken(seconds) == 16
    assert taken({16: 3.0, 32: 2.0, 128: 1.0}) == 128
