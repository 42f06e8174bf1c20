"""Tables in batches: the same bytes whatever the batches, the same checks, nothing half-written."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from ratchet import table_files
from ratchet.data import batches
from ratchet.errors import TableError
from ratchet.progress import Progress
from ratchet.table_files import TableWriter, read_batches, read_table, write_table
from ratchet.tables import CORPUS


def corpus(n: int) -> pd.DataFrame:
    rows = range(n)
    return pd.DataFrame(
        {
            "row": list(rows),
            "id": pd.Series([f"{row:016x}" for row in rows], dtype="str"),
            "text": pd.Series([f"text {row % 7} ü" for row in rows], dtype="str"),
            "label": pd.Series([None if row % 5 == 0 else "yes" for row in rows], dtype="str"),
            "source": pd.Series(["shop"] * n, dtype="str"),
            "timestamp": pd.to_datetime([row * 10**9 for row in rows], utc=True).as_unit("us"),
            "region": pd.Series([None if row < n / 2 else "north" for row in rows], dtype="str"),
        }
    )


def write_each(path: Path, batches: list[pd.DataFrame]) -> bytes:
    with TableWriter(path, CORPUS) as writer:
        for batch in batches:
            writer.write(batch)
    assert writer.n_rows == sum(map(len, batches))
    return path.read_bytes()


def write_in(path: Path, frame: pd.DataFrame, batch_rows: int) -> bytes:
    return write_each(path, [frame[start : start + batch_rows] for start in range(0, len(frame), batch_rows)])


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "ROW_GROUP_ROWS", 100)


def test_equal_rows_are_equal_bytes_whatever_the_batches(tmp_path: Path) -> None:
    frame = corpus(257)
    write_table(tmp_path / "whole", frame, CORPUS)
    written = {write_in(tmp_path / f"by{size}", frame, size) for size in (1, 7, 100, 101, 250, 1000)}
    assert written == {(tmp_path / "whole").read_bytes()}
    groups = pyarrow.parquet.ParquetFile(tmp_path / "whole").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [100, 100, 57]
    pd.testing.assert_frame_equal(read_table(tmp_path / "whole", CORPUS), frame)


def test_batches_that_were_read_are_let_go(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = [rng.bytes(1000).hex() for _ in range(4000)]  # 8 MB that no compression makes smaller than 4
    write_table(tmp_path / "t", corpus(4000).assign(text=pd.Series(texts, dtype="str")), CORPUS)
    del texts
    before, held = pyarrow.total_allocated_bytes(), []
    for _ in read_batches(tmp_path / "t", CORPUS, ["text"], 100):
        held.append(pyarrow.total_allocated_bytes() - before)
    assert len(held) == 40
    assert max(held) < (tmp_path / "t").stat().st_size / 3


@pytest.mark.parametrize("batch_rows", [1, 64, 300])
def test_batches_together_are_the_table(tmp_path: Path, batch_rows: int) -> None:
    frame = corpus(257)
    write_table(tmp_path / "t", frame, CORPUS)
    batches = list(read_batches(tmp_path / "t", CORPUS, batch_rows=batch_rows))
    assert max(map(len, batches)) == min(batch_rows, 257)
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), frame)
    some = pd.concat(read_batches(tmp_path / "t", CORPUS, ["text", "region"], batch_rows), ignore_index=True)
    pd.testing.assert_frame_equal(some, frame[["text", "region"]])


def test_an_optional_column_may_be_absent_and_no_other(tmp_path: Path) -> None:
    write_table(tmp_path / "t", corpus(3).drop(columns="timestamp"), CORPUS)
    assert "timestamp" not in read_table(tmp_path / "t", CORPUS)
    with pytest.raises(TableError, match="lacks the column 'source'"):
        write_table(tmp_path / "t", corpus(3).drop(columns="source"), CORPUS)


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "none", CORPUS):
        pass
    write_table(tmp_path / "empty", corpus(3)[:0], CORPUS)
    for name, extra in (("none", []), ("empty", ["timestamp", "region"])):
        (batch,) = read_batches(tmp_path / name, CORPUS)
        assert list(batch) == ["row", "id", "text", "label", "source", *extra]
        assert batch.empty


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (corpus(2).drop(columns="region"), "other columns than the first"),
        (corpus(2).assign(more="x"), "other columns than the first"),
        (corpus(2).assign(text=None), "missing values"),
        (corpus(2).assign(region=[1, 2]), "another type than the first"),
    ],
)
def test_a_wrong_batch_leaves_nothing_behind(tmp_path: Path, second: pd.DataFrame, said: str) -> None:
    write_table(tmp_path / "t", corpus(1), CORPUS)
    before = (tmp_path / "t").read_bytes()
    with pytest.raises(TableError, match=said):
        write_each(tmp_path / "t", [corpus(150), second])
    assert [path.name for path in tmp_path.iterdir()] == ["t"]
    assert (tmp_path / "t").read_bytes() == before


def test_what_cannot_be_read_in_batches_is_said(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="is missing"):
        next(read_batches(tmp_path / "t", CORPUS))
    (tmp_path / "t").write_text("id,text")
    with pytest.raises(TableError, match="cannot be read"):
        next(read_batches(tmp_path / "t", CORPUS))
    write_table(tmp_path / "t", corpus(1), CORPUS)
    with pytest.raises(TableError, match="lacks the column 'stars'"):
        next(read_batches(tmp_path / "t", CORPUS, ["text", "stars"]))


def test_progress_without_a_total_and_within_the_interval(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 1.9, 2.0, 3.9, 60.0])
    progress = Progress("rows", clock=lambda: next(seconds))
    for n in (1, 999, 5, 7):
        progress.add(n)
    assert capsys.readouterr().out.splitlines() == ["1,000 rows", "1,012 rows"]


def test_a_long_pass_over_a_table_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "corpus.parquet"
    write_table(path, corpus(250), CORPUS)
    read = batches.batches(path, CORPUS)
    assert sum(map(len, read(["id"]))) == 250
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(batches, "Progress", functools.partial(Progress, every_s=0))
    for _ in range(2):
        assert sum(map(len, read(["id"]))) == 250
        assert capsys.readouterr().out.splitlines()[-1] == "250 of 250 rows of corpus.parquet (100 %)"
