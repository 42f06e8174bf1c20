"""What the argument of `ratchet init` may be: each kind of source gives the same rows, and says what it lacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest

from flows.init.flow import read_sample
from flows.init.sources import FOLDER, WATCH, Given, count_labels, place_of
from ratchet.errors import ParamsError, RatchetError, SourceError
from tests.support.http_site import served

ROWS = pd.DataFrame(
    {
        "text": [
            f"the parcel number {n} has not arrived" if n % 2 else f"please send the bill {n} again" for n in range(60)
        ],
        "topic": ["delivery" if n % 2 else "billing" for n in range(60)],
    }
)


def given(folder: Path, kind: str) -> Given:
    """The rows written as one kind of source, outside any repository."""
    folder.mkdir()
    if kind == "csv":
        ROWS.to_csv(folder / "rows.csv", index=False)
    elif kind == "semicolons":
        ROWS.to_csv(folder / "rows.csv", index=False, sep=";", encoding="utf-16")
    elif kind == "jsonl":
        ROWS.to_json(folder / "rows.jsonl", orient="records", lines=True)
    elif kind == "parquet":
        ROWS.to_parquet(folder / "rows.parquet")
    elif kind == "sqlite":
        with sqlite3.connect(folder / "rows.db") as connection:
            ROWS.to_sql("rows", connection, index_label="n")
        return Given(f"sqlite:///{folder}/rows.db", query="SELECT text, topic FROM rows ORDER BY n")
    else:
        (folder / ".hidden").touch()
        ROWS[:30].to_csv(folder / "a.csv", index=False)
        ROWS[30:].to_csv(folder / "b.csv", index=False)
        return Given(str(folder))
    return Given(str(next(folder.iterdir())))


@pytest.mark.parametrize("kind", ["csv", "semicolons", "jsonl", "parquet", "sqlite", "folder"])
def test_every_kind_of_source_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    place = place_of(tmp_path / "clone", given(tmp_path / "data", kind))
    sample = read_sample(place)
    assert sample.frame.to_dict("list") == ROWS.to_dict("list")
    assert (sample.texts[0], sample.labels("text")) == ("text", ["topic"])
    assert count_labels(place, "topic") == (60, {"billing": 30, "delivery": 30})
    if kind != "sqlite":
        assert place.watch == FOLDER, "a file from outside is copied, and the copy is watched"
        assert sorted(place.copies) == sorted(f"{FOLDER}/{file.name}" for file in place.copies.values())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    with served(tmp_path / "site") as url:
        yield url


@pytest.mark.parametrize("what", ["rows.csv", "rows.jsonl", "parts/", "parts/*.csv"])
def test_a_url_is_read_and_nothing_is_copied(tmp_path: Path, site: str, what: str) -> None:
    folder = tmp_path / "site"
    ROWS.to_csv(folder / "rows.csv", index=False)
    ROWS.to_json(folder / "rows.jsonl", orient="records", lines=True)
    (folder / "parts").mkdir()
    ROWS[:30].to_csv(folder / "parts/a.csv", index=False)
    ROWS[30:].to_csv(folder / "parts/b.csv", index=False)
    place = place_of(tmp_path / "clone", Given(f"{site}/{what}"))
    assert read_sample(place).frame.to_dict("list") == ROWS.to_dict("list")
    assert count_labels(place, "topic") == (60, {"billing": 30, "delivery": 30})
    assert (place.block["path"], place.watch, place.copies) == (f"{site}/{what}", WATCH, {})


@pytest.mark.parametrize("what", ["rows.csv", "", "*.csv"])
def test_a_bucket_is_read_as_files_are(tmp_path: Path, what: str) -> None:
    """By fsspec's file system in memory, which S3 and GCS go through as well, without their clients."""
    system = fsspec.filesystem("memory")
    system.mkdirs("/init", exist_ok=True)
    system.pipe_file("/init/rows.csv", ROWS.to_csv(index=False).encode())
    try:
        place = place_of(tmp_path, Given(f"memory://init/{what}"))
        assert read_sample(place).frame.to_dict("list") == ROWS.to_dict("list")
        assert (place.watch, place.copies) == (WATCH, {})
    finally:
        system.rm("/init", recursive=True)


@pytest.mark.parametrize("url", ["/none.csv", "/empty/"])
def test_a_url_that_leads_nowhere_is_said(tmp_path: Path, site: str, url: str) -> None:
    (tmp_path / "site/empty").mkdir()
    with pytest.raises(SourceError):
        place_of(tmp_path, Given(site + url))


@pytest.mark.parametrize("inside", [True, False])
def test_a_saved_data_set_is_read_where_it_lies(tmp_path: Path, inside: bool) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install -e '.[datasets]'")
    root = tmp_path / "clone"
    saved = (root if inside else tmp_path) / "tickets"
    datasets.DatasetDict({"train": datasets.Dataset.from_pandas(ROWS)}).save_to_disk(saved)
    place = place_of(root, Given(str(saved), split="train"))
    assert read_sample(place).frame.to_dict("list") == ROWS.to_dict("list")
    assert count_labels(place, "topic") == (60, {"billing": 30, "delivery": 30})
    assert (place.block["path"], place.watch) == (("tickets", "tickets") if inside else ("../tickets", "../tickets"))


def test_a_file_of_the_repository_stays_where_it_is(tmp_path: Path) -> None:
    place = place_of(tmp_path, given(tmp_path / "texts", "csv"))
    assert (place.block["path"], place.watch, place.copies) == ("texts/rows.csv", "texts/rows.csv", {})


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        (Given("nowhere.csv"), SourceError, "no such source"),
        (Given("postgresql://me@db/name"), ParamsError, "needs a query"),
        (Given("postgresql://me:pw@db/name", query="SELECT 1"), ParamsError, "secret"),
        (Given("https://a.org/b.csv?token=x"), ParamsError, "secret"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, argument: Given, error: type[RatchetError], message: str) -> None:
    with pytest.raises(error, match=message):
        place_of(tmp_path, argument)


def test_a_row_that_cannot_be_read_names_the_flag(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(ROWS.to_csv(index=False) + "one,two,three\n")
    with pytest.raises(SourceError, match="--max-bad-rows"):
        read_sample(place_of(tmp_path, Given(str(file))))
    assert len(read_sample(place_of(tmp_path, Given(str(file), max_bad_rows=1))).frame) == 60


def test_the_dialect_can_be_corrected(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("text,topic\ncafé 1,a\ncafé 2,b\n".encode("latin-1"))
    place = place_of(tmp_path, Given(str(file), dialect=["encoding=latin-1"]))
    assert place.block["dialect"]["encoding"] == "latin-1"
    with pytest.raises(ParamsError, match="klingon"):
        place_of(tmp_path, Given(str(file), dialect=["encoding=klingon"]))
