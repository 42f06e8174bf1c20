"""URLs, queries and data sets: read for real where a server of our own can stand in, and what failures say."""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pydantic
import pytest
import sqlalchemy

from ratchet.data.sources import datasets as sources_datasets
from ratchet.data.sources import rows as sources_rows
from ratchet.data.sources import sql as sources_sql
from ratchet.data.sources.datasets import DatasetSource
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, Dialect
from ratchet.data.sources.files import FilesSource
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import RowsDigest, strings
from ratchet.data.sources.source import Source, read_source
from ratchet.data.sources.sql import SqlSource
from ratchet.errors import MissingExtraError, SourceError
from tests.support.http_site import served

ROWS = {"text": ["a film", "été", None, "long"], "label": ["1", None, "0", "1"]}
COLUMNS = list(ROWS)


def read(source: Source) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    reading = Reading()
    found = list(read_source(source, COLUMNS, reading))
    origin = {"n_files": len(reading.files), "sha256": reading.sha256}
    return pd.concat([batch.frame for batch in found], ignore_index=True), origin, [batch.name for batch in found]


def files(path: str, sha256: str = "", dialect: Dialect = CSV) -> FilesSource:
    return FilesSource(kind="files", path=path, sha256=sha256, dialect=dialect, max_bad_rows=0)


def sql(**changes: str) -> SqlSource:
    values = {
        "kind": "sql",
        "url": "sqlite:///own.db",
        "password_variable": "",
        "sha256": "",
        "query": "SELECT text, label FROM reviews ORDER BY id",
    }
    return SqlSource.model_validate({**values, **changes})


def dataset(**changes: str) -> DatasetSource:
    values = {"kind": "dataset", "path": "saved", "subset": "", "split": "", "revision": "", "sha256": ""}
    return DatasetSource.model_validate({**values, **changes})


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for module in (sources_rows, sources_sql, sources_datasets):
        monkeypatch.setattr(module, "BATCH_ROWS", 3)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """An HTTP server on loopback over tmp_path/site."""
    (tmp_path / "site").mkdir()
    with served(tmp_path / "site") as url:
        yield url


@pytest.fixture
def bucket() -> Iterator[Any]:
    """fsspec's own file system in memory: what S3 and GCS go through as well, without their client."""
    system = fsspec.filesystem("memory")
    system.mkdirs("/bucket", exist_ok=True)
    yield system
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_http_reads_as_the_file_does(tmp_path: Path, site: str, suffix: str) -> None:
    frame, path = pd.DataFrame(ROWS, dtype="str"), tmp_path / "site" / f"reviews.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    dialect: Any = {"csv": CSV, "jsonl": JSONL, "parquet": PARQUET}[suffix]
    got, origin, names = read(files(f"{site}/reviews.{suffix}?version=2", dialect=dialect))
    pd.testing.assert_frame_equal(got, frame)
    assert origin == {"n_files": 1, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert set(names) == {"reviews"}


def test_a_folder_over_http_is_its_files(tmp_path: Path, site: str) -> None:
    for name in ("b.csv", "a.csv", "notes.md"):
        pd.DataFrame(ROWS).to_csv(tmp_path / "site" / name, index=False)
    _, origin, names = read(files(f"{site}/"))
    assert list(dict.fromkeys(names)) == ["a", "b"]
    assert origin["n_files"] == 2


def test_what_http_refuses_is_said(site: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        read(files(f"{site}/none.csv"))
    with pytest.raises(SourceError, match="cannot be reached"):
        read(files("http://127.0.0.1:9/none.csv"))


def test_a_bucket_is_read_by_glob_and_folder_and_pinned(bucket: Any) -> None:
    for name in ("b", "a"):
        bucket.pipe(f"/bucket/{name}.csv", pd.DataFrame(ROWS).to_csv(index=False).encode())
    bucket.pipe("/bucket/readme.txt", b"no data")
    by_glob, origin, names = read(files("memory://bucket/*.csv"))
    by_folder, same, _ = read(files("memory://bucket/"))
    pd.testing.assert_frame_equal(by_glob, by_folder)
    assert len(by_glob) == 8
    assert list(dict.fromkeys(names)) == ["a", "b"]
    one = hashlib.sha256(bucket.cat("/bucket/a.csv")).hexdigest()
    assert origin == same == {"n_files": 2, "sha256": hashlib.sha256((one + one).encode()).hexdigest()}
    read(files("memory://bucket/a.csv", one))
    with pytest.raises(SourceError, match="not the one that was pinned"):
        read(files("memory://bucket/a.csv", "0" * 64))
    with pytest.raises(SourceError, match="no data file"):
        read(files("memory://bucket/*.tsv"))
    with pytest.raises(SourceError, match="no column 'text'"):
        read(files("memory://bucket/readme.txt"))  # named, so read whatever it is called


def test_messages_name_the_url_and_not_the_copy(bucket: Any) -> None:
    bucket.pipe("/bucket/a.csv", b"text,label\nfine,1\nna\xefve,1\n")
    with pytest.raises(SourceError, match=r"where: memory://bucket/a\.csv, line 3"):
        read(files("memory://bucket/a.csv"))


def test_a_protocol_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "s3", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install -c constraints\.txt -e '\.\[s3\]'"):
        read(files("s3://bucket/a.csv"))
    with pytest.raises(SourceError, match="cannot be read"):
        read(files("nonsense://bucket/a.csv"))


@pytest.mark.parametrize(
    "url", ["https://me:hush@a.org/b.csv", "https://a.org/b.csv?X-Amz-Signature=hush", "https://a.org/b.csv?token=hush"]
)
def test_a_secret_in_a_url_is_refused_unprinted(url: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="would be written"):
        files(url)


@pytest.fixture
def database(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "own.db") as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER, text TEXT, label INTEGER, scan BLOB)")
        rows = [(i, text, label, b"\x00") for i, (text, label) in enumerate(zip(*ROWS.values(), strict=True))]
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?)", rows)
    connection.close()


@pytest.mark.usefixtures("database")
def test_a_query_reads_in_batches_and_can_be_pinned() -> None:
    got, origin, names = read(sql())
    pd.testing.assert_frame_equal(got, pd.DataFrame(ROWS, dtype="str"))
    assert names == ["query", "query"]
    digest = RowsDigest()
    digest.add(strings(ROWS))
    assert origin == {"n_files": 1, "sha256": digest.hexdigest()}
    read(sql(sha256=origin["sha256"]))
    with pytest.raises(SourceError, match="not the one that was pinned"):
        read(sql(sha256="0" * 64))


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"query": "SELECT text, label FROM nowhere ORDER BY id"}, "no such table: nowhere"),
        ({"query": "SELECT text FROM reviews ORDER BY id"}, "no column 'label'"),
        ({"query": "SELECT text, label FROM reviews WHERE id > 9 ORDER BY id"}, "holds no rows"),
        ({"query": "SELECT text, scan AS label FROM reviews ORDER BY id"}, "got: binary"),
        ({"url": "sqlite:///none.db"}, "no such database"),
        ({"password_variable": "NOT_SET_HERE"}, "NOT_SET_HERE is not set"),
    ],
)
def test_what_a_query_cannot_give_is_said(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError) as error:
        read(sql(**changes))
    assert said in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.db"]


def test_a_driver_that_is_missing_is_named() -> None:
    with pytest.raises(MissingExtraError, match="driver of the database"):
        read(sql(url="nosuch+driver://me@host/db"))


def test_the_password_comes_from_the_environment_and_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWS_PASSWORD", "hush")
    source = sql(url="sqlite://reader@host/db", password_variable="REVIEWS_PASSWORD")
    with pytest.raises(SourceError, match="not valid") as error:  # SQLite takes no host
        read(source)
    assert "hush" not in str(error.value)
    monkeypatch.setattr(sqlalchemy, "create_engine", lambda url: url)
    assert sources_sql._engine(source).password == "hush"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "postgresql://me:hush@host/db"}, "url holds a password"),
        ({"url": "postgresql://host/db?password=hush"}, "url holds a password"),
        ({"query": "DELETE FROM reviews"}, "must begin with SELECT"),
        ({"query": "SELECT text, label FROM reviews"}, "must have an ORDER BY"),
        ({"url": "own.db"}, "url"),
    ],
)
def test_bad_params_of_a_query(changes: dict[str, str], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        sql(**changes)


def test_local_paths_are_those_dvc_can_watch() -> None:
    assert files("own/*.csv").local_path == "own/*.csv"
    assert files("s3://bucket/a.csv").local_path == ""
    assert sql().local_path == "own.db"
    assert sql(url="postgresql://me@host/db").local_path == ""
    assert dataset().local_path == "saved"
    assert dataset(path="owner/name", revision="0" * 40, split="train").local_path == ""


def test_a_saved_data_set_is_read_whole_or_by_split() -> None:
    datasets = pytest.importorskip("datasets", reason="pip install -e '.[datasets]'")
    saved = datasets.Dataset.from_dict({"text": ROWS["text"], "label": [1, None, 0, 1], "more": [1, 2, 3, 4]})
    saved.save_to_disk("saved")
    datasets.DatasetDict({"train": saved, "test": saved.select([1])}).save_to_disk("splits")
    got, origin, names = read(dataset())
    pd.testing.assert_frame_equal(got, pd.DataFrame(ROWS, dtype="str"))
    assert names == ["saved", "saved"]
    by_split, same, names = read(dataset(path="splits", split="train"))
    pd.testing.assert_frame_equal(by_split, got)
    assert origin == same
    assert names == ["train", "train"]
    assert len(read(dataset(path="splits", split="test"))[0]) == 1
    for changes, said in [
        ({"path": "splits"}, "no such split"),
        ({"path": "splits", "split": "dev"}, "expected: train, test"),
        ({"split": "train"}, "no such split"),
        ({"path": "nowhere"}, "cannot be read"),
    ]:
        with pytest.raises(SourceError, match=said):
            read(dataset(**changes))
    with pytest.raises(SourceError, match="not the one that was pinned"):
        read(dataset(sha256="0" * 64))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[datasets\]'"):
        read(dataset())


def test_the_digest_of_rows_does_not_depend_on_the_batches() -> None:
    frame, whole, parts = strings(ROWS), RowsDigest(), RowsDigest()
    whole.add(frame)
    for start in range(4):
        parts.add(frame[start : start + 1])
    assert whole.hexdigest() == parts.hexdigest()
    other = RowsDigest()
    other.add(frame.assign(label=["1", "", "0", "1"]))
    assert other.hexdigest() != whole.hexdigest()
