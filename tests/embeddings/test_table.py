"""Embeddings come back by id, in any order, to the last bit; what is not there is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ratchet.embeddings import table as embedding_table
from ratchet.embeddings.table import Embeddings, read_embeddings, write_embeddings
from ratchet.errors import TableError
from ratchet.files import sha256_file
from ratchet.table_files import read_table
from ratchet.tables import EMBEDDINGS

IDS = [f"{number:016x}" for number in range(50)]
ROWS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def written(path: Path, size: int = 20) -> Path:
    batches = [(IDS[start : start + size], ROWS[start : start + size]) for start in range(0, len(IDS), size)]
    assert write_embeddings(path, iter(batches), 6) == 50
    return path


def test_any_ids_in_any_order_twice_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "e.parquet")
    monkeypatch.setattr(embedding_table, "ROW_GROUP", 7)
    wanted = [41, 3, 3, 49, 0]
    np.testing.assert_array_equal(read_embeddings(path, [IDS[row] for row in wanted]), ROWS[wanted])
    assert read_embeddings(path, []).shape == (0, 6)


def test_it_is_the_declared_table_and_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    frame = read_table(written(tmp_path / "e.parquet"), EMBEDDINGS)
    np.testing.assert_array_equal(np.stack(frame["embedding"].to_list()), ROWS)
    assert sha256_file(tmp_path / "e.parquet") == sha256_file(written(tmp_path / "again.parquet"))


def test_no_texts_give_a_file_without_rows(tmp_path: Path) -> None:
    assert write_embeddings(tmp_path / "e.parquet", [], 6) == 0
    assert read_embeddings(tmp_path / "e.parquet", []).shape == (0, 6)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet")
    with pytest.raises(TableError, match="1 of 2 ids, stranger"):
        read_embeddings(path, [IDS[0], "stranger"])
    with pytest.raises(TableError, match="embeddings are missing"):
        read_embeddings(tmp_path / "none.parquet", IDS)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(TableError, match="cannot be read"):
        read_embeddings(path, IDS)


def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = written(tmp_path / "e.parquet")

    def failing() -> Iterator[tuple[list[str], Embeddings]]:
        yield IDS[:5], ROWS[:5]
        raise RuntimeError("power is gone")

    with pytest.raises(RuntimeError, match="power"):
        write_embeddings(path, failing(), 6)
    np.testing.assert_array_equal(read_embeddings(path, IDS), ROWS)
    assert [item.name for item in tmp_path.iterdir()] == ["e.parquet"]
