"""The dialect of a file is found from its bytes, with what a person should look at."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ratchet.data.sources.detection import detect_dialect, detect_source
from ratchet.data.sources.dialect import CSV, JSONL, CsvDialect
from ratchet.data.sources.reading import Labels
from ratchet.errors import SourceError

ROWS = [("a fine text", "good"), ('he said "no", twice', "bad"), ("one; two | three", "good"), ("été", "bad")] * 20


def write(folder: Path, content: bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def lines(delimiter: str, header: str = "text,label", quote: str = '"', escape: str = "doubled") -> str:
    """The rows with every text in quotes, or in none."""
    inside = {"doubled": quote * 2, "backslash": f"\\{quote}", "none": quote}[escape]
    rows = [f"{quote}{text.replace(quote, inside) if quote else text}{quote}{delimiter}{label}" for text, label in ROWS]
    return "\n".join([header.replace(",", delimiter), *rows]) + "\n"


@pytest.mark.parametrize(
    ("content", "expected", "n_rows"),
    [
        (lines(",").encode(), {}, 80),
        (lines(";").encode(), {"delimiter": ";"}, 80),
        (lines("|").encode(), {"delimiter": "|"}, 80),
        (lines("\t", quote="", escape="none").encode(), {"delimiter": "\t"}, 80),
        (lines(",", quote="'").encode(), {"quote": "'"}, 80),
        (lines(",", escape="backslash").encode(), {"escape": "backslash"}, 80),
        (lines(",").encode("utf-16"), {"encoding": "utf-16"}, 80),
        (lines(",").encode("utf-16-be"), {"encoding": "utf-16-be"}, 80),
        (b"\xef\xbb\xbf" + lines(",").encode(), {}, 80),
        (lines(",").encode("cp1252"), {"encoding": "cp1252"}, 80),
        (
            "".join(
                f"это очень хороший фильм; мы смотрели его вчера вечером и смеялись {i},good\n" for i in range(60)
            ).encode("cp1251"),
            {"encoding": "cp1251", "header": False},
            60,
        ),
        (
            b"text,label\n" + "这部电影非常好看，我们昨天一起看了,good\n".encode("gb18030") * 30,
            {"encoding": "gb18030"},
            30,
        ),
        (gzip.compress(lines(",").encode()), {"compression": "gzip"}, 80),
        (
            b'label\ttext\n1\tfine one\n0\t"He left early\n1\tgood\n0\tsaid "stop" twice\n1\tlast\n',
            {"delimiter": "\t", "quote": "", "escape": "none"},
            5,
        ),
        (b"text,label,,\nGood, great,,\n" + b"fine,good,,\n" * 60, {"unnamed": "refuse"}, 61),
        (b"text,label,,\nGood,great,x,\n" + b"fine,good,,\n" * 60, {"unnamed": "join"}, 61),
        (b",text,label\n" + b"".join(b"%d,fine,good\n" % i for i in range(60)), {"unnamed": "ignore"}, 60),
    ],
)
def test_the_dialect_is_that_in_which_the_file_was_written(
    tmp_path: Path, content: bytes, expected: dict[str, Any], n_rows: int
) -> None:
    found = detect_dialect(write(tmp_path, content))
    assert found.dialect == CsvDialect.model_validate({**CSV.model_dump(), **expected})
    assert found.n_bad_rows == 0
    assert found.n_rows == n_rows


@pytest.mark.parametrize(
    ("content", "delimiter", "quote"),
    [
        (b"text\nfine, one\nanother; or not\n", "\t", '"'),
        (b'text\r\n"fine, one"\r\n"said ""no"""\r\n"two\nlines"\r\n', ",", '"'),
        (b"\xef\xbb\xbftext\none\ntwo\n", ",", '"'),
    ],
)
def test_a_column_may_be_the_only_one_where_it_is_asked_for(
    tmp_path: Path, content: bytes, delimiter: str, quote: str
) -> None:
    path = write(tmp_path, content)
    for lone in ("", "label"):
        with pytest.raises(SourceError, match="No delimiter makes columns"):
            detect_dialect(path, lone=lone)
    found = detect_dialect(path, lone="text")
    assert (found.columns, found.n_bad_rows) == (["text"], 0)
    assert isinstance(found.dialect, CsvDialect)
    assert (found.dialect.delimiter, found.dialect.quote, found.dialect.header) == (delimiter, quote, True)
    first = detect_dialect(path, lone="text", is_surveyed=False)
    assert (first.dialect, first.n_rows) == (found.dialect, 0)
    two = write(tmp_path, b"text,label\nfine,1\n", "b.csv")
    assert detect_dialect(two, lone="text").columns == ["text", "label"]


def test_what_a_person_should_look_at_is_said(tmp_path: Path) -> None:
    content = b"kind,text,kind\nham,caf\xe9,x\nham,a,b,c\nspam,ok,x\n" + b"ham,fine,x\n" * 20
    found = detect_dialect(write(tmp_path, content))
    said = [(item.what, item.lines) for item in found.findings]
    assert (found.n_rows, found.n_bad_rows) == (22, 1)
    assert any("1 bytes beyond ASCII are read by cp1252, which no byte proves" in what for what, _ in said)
    assert any("1 stand twice: kind" in what for what, _ in said)
    assert ("records that cannot be read exactly: 1 × 4 fields", (3,)) in said
    swallowed = write(tmp_path, b'kind,text\nham,"first\nspam,""second"\n' + b"ham,fine\nspam,buy\n" * 20)
    assert detect_dialect(swallowed).n_bad_rows == 0
    assert detect_dialect(swallowed, Labels("kind", frozenset(["ham", "spam"]))).n_bad_rows == 1


def test_columns_that_hold_no_text_are_named(tmp_path: Path) -> None:
    rows = [{"text": [{"role": "user"}], "label": "1", "late": 1}, {"text": {"a": 1}, "label": "0"}]
    found = detect_dialect(write(tmp_path, "\n".join(map(json.dumps, rows)).encode(), "a.jsonl"))
    assert (found.dialect, found.columns) == (JSONL, ["text", "label", "late"])
    assert any(item.what == "columns that hold no text: text (an object)" for item in found.findings)
    pd.DataFrame(rows[:1]).to_parquet(tmp_path / "a.parquet")
    parquet = detect_dialect(tmp_path / "a.parquet")
    assert any("columns that hold no text: text (list<" in item.what for item in parquet.findings)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"only a text\nand another\n", "No delimiter"),
        (b'[{"text": "a"}]', "one JSON array"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"SQLite format 3\x00", "SQLite database"),
        (b"PAR1 nothing", "not valid Parquet"),
    ],
)
def test_what_is_no_table_is_refused_with_what_to_do(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(SourceError) as error:
        detect_dialect(write(tmp_path, content))
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_folder_is_of_one_dialect_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "lang=de" / "part=1"
    folder.mkdir(parents=True)
    write(folder, lines(",").encode(), "a.csv")
    write(tmp_path, lines(",").encode(), "b.csv")
    write(tmp_path, b"", "_SUCCESS")
    detected, places = detect_source(str(tmp_path))
    assert detected.dialect == CSV
    assert [place.partition for place in places.files] == [{}, {"lang": "de", "part": "1"}]
    assert places.left_out == [(str(tmp_path / "_SUCCESS"), "a dot file or marker")]
    write(tmp_path, lines(";").encode(), "c.csv")
    with pytest.raises(SourceError, match="different dialects"):
        detect_source(str(tmp_path))
