"""Every way a source can be wrong gives one message that says what, where, got, expected and what to do."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, Dialect
from ratchet.data.sources.files import PackagedSource, check_sha256, find_places, read_files
from ratchet.data.sources.formats import read_file
from ratchet.data.sources.places import find_files, find_packaged
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import frame_of
from ratchet.errors import SourceError

DIALECTS: dict[str, Dialect] = {
    ".csv": CSV,
    ".tsv": CSV.model_copy(update={"delimiter": "\t"}),
    ".jsonl": JSONL,
    ".parquet": PARQUET,
}
SUFFIXES = list(DIALECTS)
ROWS = {"text": ['a, "quoted"\nfilm', "été", None], "label": ["1", None, "0"]}


def _write(folder: Path, suffix: str) -> Path:
    path, frame = folder / f"reviews{suffix}", pd.DataFrame(ROWS)
    if suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_parquet(path)
    return path


def read_columns(file: Path, columns: list[str], batch_rows: int = 2) -> pd.DataFrame:
    """All rows, read in batches of two: fewer than most of these files have."""
    batches = list(read_file(file, DIALECTS[file.suffix], columns, batch_rows=batch_rows))
    assert all(0 < len(batch.lines) <= batch_rows for batch in batches)
    return pd.concat([frame_of(batch.columns) for batch in batches], ignore_index=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats_read_alike(tmp_path: Path, suffix: str) -> None:
    frame = read_columns(_write(tmp_path, suffix), ["text", "label"])
    assert [[None if pd.isna(value) else value for value in frame[name]] for name in ROWS] == list(ROWS.values())
    assert frame.dtypes.astype(str).tolist() == ["str", "str"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_column_names_those_that_exist(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(SourceError) as error:
        read_columns(_write(tmp_path, suffix), ["review", "label"])
    assert "no column 'review'" in str(error.value)
    assert "got: text, label" in str(error.value)
    assert "expected: review, label" in str(error.value)


def test_numbers_are_spelled_as_a_csv_writer_spells_them(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"label": 1}\n\n{"label": 0.0}\n{"label": true}\n{}\n')
    pd.DataFrame({"label": [1, None]}).to_parquet(tmp_path / "a.parquet")
    assert read_columns(tmp_path / "a.jsonl", ["label"])["label"].tolist()[:3] == ["1", "0.0", "true"]
    assert read_columns(tmp_path / "a.jsonl", ["label"])["label"].isna().tolist() == [False, False, False, True]
    assert read_columns(tmp_path / "a.parquet", ["label"])["label"].tolist()[0] == "1.0"
    pd.DataFrame({"label": [1, None]}).to_csv(tmp_path / "a.csv", index=False)
    assert read_columns(tmp_path / "a.csv", ["label"])["label"].tolist()[0] == "1.0"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufefftext\nx\n".encode())
    assert read_columns(tmp_path / "a.csv", ["text"])["text"].tolist() == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "what", "where"),
    [
        ("a.csv", b"text\nfine\nna\xefve\n", "byte 0xef, which is no utf-8", "a.csv, line 3"),
        ("b.csv", b"\xef\xbb\xbftext\n\xff\n", "byte 0xff, which is no utf-8", "b.csv, line 2"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "\x85"}\n', "byte 0x85, which is no utf-8", "a.jsonl, line 2"),
        ("b.jsonl", b'{"text": "x"}\n{"text": \n', "no JSON", "b.jsonl, line 2"),
        ("c.jsonl", b'["text"]\n', "JSON, but a list", "c.jsonl, line 1"),
        ("g.jsonl", b'{"text": "bad \\ud800"}\n', "half a surrogate pair under the key 'text'", "g.jsonl, line 1"),
        ("h.jsonl", b'{"text": "a", "text": "b"}\n', "the key 'text' twice", "h.jsonl, line 1"),
        ("i.jsonl", b'{"text": ["a"]}\n', "a list under the key 'text'", "i.jsonl, line 1"),
        ("e.csv", b'text\na,b\nc,d,"e\n', "2 fields", "e.csv, line 2"),
        ("a.tsv", b'text\nx\n"y\n', "the file ends before it closes", "a.tsv, line 3"),
        ("f.csv", b"text\n" + b"fine\n" * 100_000 + b"na\xefve\n", "byte 0xef", "f.csv, line 100002"),
        ("e.jsonl", b'{"body": "x"}\n', "no column 'text'", "e.jsonl"),
        ("a.parquet", b"text\nx\n", "no Parquet", "a.parquet"),
        ("b.parquet", b"PAR1text\nx\n", "Parquet magic bytes", "b.parquet"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, what: str, where: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as error:
        read_columns(tmp_path / name, ["text"], batch_rows=50_000)
    assert what in str(error.value)
    assert where in str(error.value)
    assert "what to do" in str(error.value)


def test_files_of_a_folder_or_glob_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.csv", "a.csv", "notes.md", "_SUCCESS", ".hidden.csv", "deep/c.csv"):
        file = Path("own") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def found(path: str) -> list[str]:
        return [place.path for place in find_files(path, CSV).files]

    assert found("own") == ["own/a.csv", "own/b.csv"]
    assert dict(find_files("own", CSV).left_out) == {
        "own/.hidden.csv": "a dot file or marker",
        "own/_SUCCESS": "a dot file or marker",
        "own/deep": "a folder of its own; a glob with ** reads it",
        "own/notes.md": "no data file, by its name",
    }
    assert found("own/**/*.csv") == ["own/a.csv", "own/b.csv", "own/deep/c.csv"]
    assert found("own/b.csv") == ["own/b.csv"]
    assert found("own/*.md") == ["own/notes.md"]  # spelled out, so meant
    (Path("own") / "d.jsonl").touch()
    for path, what in {
        "own/none.csv": "no data file",
        "own/no*": "format",
        "own": "another format or compression",
        "own/deep/*.jsonl": "no data file",
    }.items():
        with pytest.raises(SourceError, match=what):
            find_files(path, CSV)


def test_packaged_files_are_found_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_of_data"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "a.csv").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_packaged("carrier_of_data/a.csv") == package / "a.csv"
    wrong = {
        "carrier_of_data/b.csv": "no such file",
        "carrier_of_data": "no such file",
        "not_there_at_all/a": "not installed",
        "a b/c": "not installed",
    }
    for path, what in wrong.items():
        with pytest.raises(SourceError, match=what):
            find_packaged(path)


def test_a_packaged_file_bears_the_same_name_on_every_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier_by_name"
    package.mkdir()
    (package / "a.csv").write_text("text\ngood\n")
    monkeypatch.syspath_prepend(tmp_path)
    sha256 = hashlib.sha256((package / "a.csv").read_bytes()).hexdigest()
    source = PackagedSource(kind="packaged", path="carrier_by_name/a.csv", sha256=sha256, dialect=CSV, max_bad_rows=0)
    (place,) = find_places(source).files
    assert place.name == "carrier_by_name/a.csv"
    reading = Reading()
    (batch,) = read_files(source, ["text"], reading)
    assert (batch.file, [tally.file for tally in reading.files]) == (source.path, [source.path])


def test_no_committed_report_names_a_place_on_a_machine() -> None:
    root = Path(__file__).parents[2]
    tracked = subprocess.run(
        ["git", "ls-files", "reports/*.json"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split()
    named = [name for name in tracked if re.search(r'": "/\w+/', (root / name).read_text(encoding="utf-8"))]
    assert not named


def test_checksum_of_one_file_and_of_many(tmp_path: Path) -> None:
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file in files:
        file.write_text(file.stem)
    single = [hashlib.sha256(name.encode()).hexdigest() for name in "ab"]
    joined = hashlib.sha256("".join(single).encode()).hexdigest()
    assert check_sha256(files[:1], single[0]) == single[0]
    assert check_sha256(files, joined) == check_sha256(files, "") == joined
    with pytest.raises(SourceError) as error:
        check_sha256(files, single[0])
    assert f"got: {joined}" in str(error.value)
    assert f"expected: {single[0]}" in str(error.value)
