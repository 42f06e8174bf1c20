"""Every record is read exactly, or is a bad row with its line and bytes: CSV of every sort, JSON Lines, Parquet."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from ratchet.data.sources import streams
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, CsvDialect, Dialect
from ratchet.data.sources.formats import read_file
from ratchet.data.sources.reading import BadRow, Labels, Reading
from ratchet.errors import SourceError

COLUMNS = ["label", "text"]


def csv(**changes: Any) -> CsvDialect:
    """A dialect that differs from RFC 4180 by these."""
    return CsvDialect.model_validate({**CSV.model_dump(), **changes})


def read(
    path: Path, content: bytes, dialect: Dialect, most: int = 0, labels: Labels | None = None
) -> tuple[list[list[str | None]], list[BadRow], Reading]:
    """The rows as [label, text], and the bad rows; no more of them than `most`."""
    path.write_bytes(content)
    reading = Reading(most, labels)
    found = list(read_file(path, dialect, COLUMNS, reading, batch_rows=2))
    rows = [list(row) for part in found for row in zip(*part.columns.values(), strict=True)]
    return rows, [row for part in found for row in part.bad], reading


@pytest.mark.parametrize(
    ("content", "dialect", "rows"),
    [
        (b"label;text\n1;a, b\n", csv(delimiter=";"), [["1", "a, b"]]),
        (b"label\ttext\n1\ta, b\n", csv(delimiter="\t"), [["1", "a, b"]]),
        (b"label|text\n1|'a|b'\n", csv(delimiter="|", quote="'"), [["1", "a|b"]]),
        (b'label,text\n1,"a ""b"", c"\n', CSV, [["1", 'a "b", c']]),
        (
            b'label,text\n0,"He said \\"no, thanks\\" twice"\n',
            csv(escape="backslash"),
            [["0", 'He said "no, thanks" twice']],
        ),
        (b"label,text\n1,a\\, b\n", csv(quote="", escape="backslash"), [["1", "a, b"]]),
        (b'label\ttext\n0\t"He left early\n', csv(delimiter="\t", quote="", escape="none"), [["0", '"He left early']]),
        (b'label,text\n1,"a\nb\r\nc\rd"\n', CSV, [["1", "a\nb\r\nc\rd"]]),
        (b"label,text\n1,a\r\n0,b\r1,c\n0,d", CSV, [["1", "a"], ["0", "b"], ["1", "c"], ["0", "d"]]),
        (b"\xef\xbb\xbflabel,text\n1,a\n", CSV, [["1", "a"]]),
        ("label,text\n1,été 很好\n".encode("utf-16"), csv(encoding="utf-16"), [["1", "été 很好"]]),
        ("\ufefflabel,text\n1,été\n".encode("utf-16-be"), csv(encoding="utf-16"), [["1", "été"]]),
        ("label,text\n1,a\u2028b\x85c\n".encode("utf-16-le"), csv(encoding="utf-16-le"), [["1", "a\u2028b\x85c"]]),
        (b"label,text\n1,it\x92s\n", csv(encoding="cp1252"), [["1", "it\u2019s"]]),
        (b"label,text\n1,\xe9t\xe9\n", csv(encoding="latin-1"), [["1", "été"]]),
        ("label,text\n1,很好\n".encode("gb18030"), csv(encoding="gb18030"), [["1", "很好"]]),
        (b"1,a\n0,b\n", csv(header=False), None),
        (
            b"label,text\n1,NA\n0,None\n1,null\n0,\n1, \n",
            CSV,
            [["1", "NA"], ["0", "None"], ["1", "null"], ["0", None], ["1", " "]],
        ),
        (b"label,text\n01,a\x00b\n1.0,007\n", CSV, [["01", "a\0b"], ["1.0", "007"]]),
        (b'label,text\n1,5" pipe\n', CSV, [["1", '5" pipe']]),
        (b"label,text\n\n1,a\n\n", CSV, [["1", "a"]]),
        (b",label,text\n0,1,a\n1,0,b\n", csv(unnamed="ignore"), [["1", "a"], ["0", "b"]]),
        (b"label,text,,\n1,Good, great,\n0,b,,\n", csv(unnamed="join"), [["1", "Good, great"], ["0", "b"]]),
        (b"more,label,text,more\nx,1,a,y\n", CSV, [["1", "a"]]),
    ],
)
def test_csv_of_every_sort_is_read_exactly(
    tmp_path: Path, content: bytes, dialect: CsvDialect, rows: list[list[str | None]] | None
) -> None:
    if rows is None:
        found = list(read_file(_file(tmp_path, content), dialect, ["column_2", "column_1"]))
        assert found[0].columns == {"column_2": ["a", "b"], "column_1": ["1", "0"]}
        return
    got, _, reading = read(tmp_path / "a.csv", content, dialect)
    assert got == rows
    (tally,) = reading.files
    assert tally.n_records == tally.n_rows + sum(tally.excluded.values())


@pytest.mark.parametrize(
    ("content", "dialect", "line", "n_lines", "found"),
    [
        (b"label,text\n1,a\n1,Good film, great cast, dull end\n0,b\n", CSV, 3, 1, "4 fields"),
        (b"label,text\n1,a\n1\n0,b\n", CSV, 3, 1, "1 field"),
        (b'label,text\n1,a\n0,"He said \\"no, thanks\\" twice"\n0,b\n', CSV, 3, 1, "a quote closes"),
        (b'label,text\n1,a\n0,"He left early\n1,good\n0,said "stop" twice\n0,b\n', CSV, 3, 3, "a quote closes"),
        (b'label,text\n1,a\n0,"He left early\n0,b\n', CSV, 3, 2, "the file ends before it closes"),
        (b'label,text\n1,a\n0,"b"c\n0,b\n', csv(escape="backslash"), 3, 1, "behind a quote"),
        (b"label,text\n1,a\n0,C:\\new\n0,b\n", csv(escape="backslash"), 3, 1, "a backslash that escapes nothing"),
        (b'label,text\n1,a\n0,"b""c"\n0,b\n', csv(escape="none"), 3, 1, "behind a quote"),
        (b"label,text\n1,a\n0,na\xefve\n0,b\n", CSV, 3, 1, "byte 0xef, which is no utf-8"),
        (b"label,text\n1,a\n0,\x81\n0,b\n", csv(encoding="cp1252"), 3, 1, "byte 0x81, which is no cp1252"),
        (b"label,text,\n1,a,\n0,b,c\n0,b,\n", CSV, 3, 1, "a column without a name"),
    ],
)
def test_what_cannot_be_read_exactly_stops_or_is_set_aside_with_its_bytes(
    tmp_path: Path, content: bytes, dialect: CsvDialect, line: int, n_lines: int, found: str
) -> None:
    labels = Labels("label", frozenset(["0", "1"]))
    with pytest.raises(SourceError) as error:
        read(tmp_path / "a.csv", content, dialect, labels=labels)
    assert f"a.csv, line {line}{f' to {line + n_lines - 1}' if n_lines > 1 else ''}\n" in str(error.value)
    for part in (found, "expected: ", "max_bad_rows"):
        assert part in str(error.value)
    rows, (bad,), reading = read(tmp_path / "a.csv", content, dialect, 1, labels)
    assert (bad.line, bad.n_lines) == (line, n_lines)
    assert bad.raw == b"".join(content.splitlines(keepends=True)[line - 1 : line - 1 + n_lines])
    assert found in bad.found
    assert [1, len(rows)] == [reading.files[0].n_bad, reading.files[0].n_records - 1]
    assert rows[0] == ["1", "a"]


@pytest.mark.parametrize(
    ("record", "line"),
    [(b'0,"He left early\n1,good"\n', 2), (b'0,"He left early\r1,""good"""\n', 2), (b'"He left early,0\ngood",1\n', 1)],
)
def test_a_record_that_swallowed_the_next_is_set_aside_and_too_many_stop(
    tmp_path: Path, record: bytes, line: int
) -> None:
    """Well-formed, so that only the labels show it: few do not count against the tolerance."""
    labels = Labels("label", frozenset(["0", "1"]))
    header, plain = (b"text,label\n", b"a,1\n") if record.startswith(b'"') else (b"label,text\n", b"1,a\n")
    rows, (bad,), reading = read(tmp_path / "a.csv", header + plain + record + plain, CSV, 0, labels)
    assert rows == [["1", "a"], ["1", "a"]]
    assert (bad.line, bad.n_lines, bad.raw) == (3, 2, record)
    assert f"takes in the next record, from its line {line}" in bad.found
    assert (reading.files[0].n_records, reading.files[0].n_bad) == (3, 1)
    many = header + plain * 180 + record * 2
    with pytest.raises(SourceError, match="takes in the next record"):
        read(tmp_path / "a.csv", many, CSV, 0, labels)
    assert len(read(tmp_path / "a.csv", many, CSV, 2, labels)[1]) == 2
    assert len(read(tmp_path / "a.csv", many + plain * 20, CSV, 0, labels)[1]) == 2


def test_a_text_of_several_lines_is_no_swallowed_record(tmp_path: Path) -> None:
    texts = ["To do:\n1, open\n2, close", "first\nyes", "Really?\nurgent or not", "a\n\nb", "1\n0\n1"]
    labels = Labels("label", frozenset(["0", "1", "urgent", "routine"]))
    for label, order in (("urgent", COLUMNS), ("1", COLUMNS), ("routine", COLUMNS[::-1])):
        frame = pd.DataFrame({"label": label, "text": texts})[order]
        rows, bad, _ = read(tmp_path / "a.csv", frame.to_csv(index=False).encode(), CSV, 0, labels)
        assert ([row[1] for row in rows], bad) == (texts, [])


@pytest.mark.parametrize(
    ("content", "dialect", "said"),
    [
        (b"label,text,text\n1,a,b\n", CSV, "names the column 'text' twice"),
        (b"label,,text\n1,a,b\n", csv(unnamed="join"), "stands between named ones"),
        (b"label,body\n1,a\n", CSV, "no column 'text'"),
        (b'label,"text\n1,a\n', CSV, "first record cannot be read"),
        (b"label,t\xe9xt\n1,a\n", CSV, "first record cannot be read"),
        (b"\nlabel,text\n1,a\n", CSV, "a blank line"),
        ("label,text\n1,a\n".encode("utf-16"), CSV, "not UTF-8"),
        ("label,text\n1,a\n".encode("utf-16-le"), csv(encoding="utf-16"), "no byte order mark"),
        ("label,text\n1,a".encode("utf-16") + b"\n", csv(encoding="utf-16"), "truncated data"),
        (gzip.compress(b"label,text\n1,a\n", mtime=0), CSV, "not compressed as the dialect says"),
        (b"label,text\n1,a\n", csv(compression="gzip"), "not compressed as the dialect says"),
        (gzip.compress(b"label,text\n1,a\n", mtime=0)[:-6], csv(compression="gzip"), "damaged or cut short"),
        (b"\x28\xb5\x2f\xfd rubbish", csv(compression="zstd"), "damaged or cut short"),
        (b"PAR1", CSV, "not of the format"),
    ],
)
def test_a_file_of_another_dialect_is_refused_whatever_the_tolerance(
    tmp_path: Path, content: bytes, dialect: CsvDialect, said: str
) -> None:
    with pytest.raises(SourceError) as error:
        read(tmp_path / "a.csv", content, dialect, 1_000)
    assert said in str(error.value)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressed_files_are_read_and_may_be_of_several_parts(tmp_path: Path, compression: str) -> None:
    parts = [b"label,text\n1,a\n", b"0,b\n"]
    compress = gzip.compress if compression == "gzip" else lambda data: pa.compress(data, "zstd", asbytes=True)
    content = b"".join(map(compress, parts))
    assert read(tmp_path / "a.csv", content, csv(compression=compression))[0] == [["1", "a"], ["0", "b"]]


def test_a_field_of_megabytes_is_read_and_a_quote_that_never_ends_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "x, " * 1_000_000
    assert read(tmp_path / "a.csv", f'label,text\n1,"{text}"\n'.encode(), CSV)[0] == [["1", text]]
    monkeypatch.setattr(streams, "MAX_RECORD", 1_000)

    for content in (b'label,text\n1,a\n1,"' + b"b\n" * 1_000, b"label,text\n1,a\n1," + b"b" * 1_000):
        with pytest.raises(SourceError, match=r"too long.*\n.*line 3"):
            read(tmp_path / "a.csv", content, CSV, 9)


def test_json_lines_keep_what_is_there_and_refuse_what_is_no_text(tmp_path: Path) -> None:
    lines = [
        '{"label": 1, "text": "a\u2028b\x85c"}',
        '{"label": "1.0", "text": "NA"}',
        '{"text": null, "label": true, "more": [{"text": "x"}]}',
        '{"text": "only", "more": {"a": 1, "a": 2}}',
        "  ",
        '{"label": 1.0, "text": 5}',
        '{"label": 12345678901234567890, "text": NaN}',
    ]
    rows, _, reading = read(tmp_path / "a.jsonl", "\r\n".join(lines).encode(), JSONL)
    assert rows == [
        ["1", "a\u2028b\x85c"],
        ["1.0", "NA"],
        ["true", None],
        [None, "only"],
        ["1.0", "5"],
        ["12345678901234567890", None],
    ]
    assert reading.files[0].excluded == {"blank lines": 1}
    bad = ['{"label": 1, "text": ["a"]}', '{"label": 1, "text": {"a": "b"}}', '{"text": "a", "text": "b"}', "[1]", "{"]
    rows, found, _ = read(
        tmp_path / "a.jsonl", "\n".join([*bad, '{"label": 1, "text": "\\ud83d"}', lines[1]]).encode(), JSONL, 6
    )
    assert rows == [["1.0", "NA"]]
    assert [row.line for row in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].found == "a list under the key 'text'"
    assert found[0].raw == bad[0].encode() + b"\n"


def test_parquet_columns_are_read_by_their_type(tmp_path: Path) -> None:
    texts = ["a", None, "", "été"]
    columns = {
        "string": pa.array(texts),
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "dictionary": pa.array(texts).dictionary_encode(),
        "label": pa.array([1, None, 0, 1]),
        "float": pa.array([1.0, None, float("nan"), 0.5]),
        "bool": pa.array([True, None, False, True]),
        "list": pa.array([["a"], None, [], ["b"]]),
        "struct": pa.array([{"a": 1}, None, {"a": 2}, {"a": 3}]),
        "binary": pa.array([b"a", None, b"", b"\xff"]),
    }
    file = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table(columns), file)
    read_columns = ["string", "large", "view", "dictionary", "label", "float", "bool"]
    rows = list(read_file(file, PARQUET, read_columns))
    assert [rows[0].columns[name] for name in read_columns[:4]] == [["a", None, None, "été"]] * 4
    assert rows[0].columns["label"] == ["1", None, "0", "1"]
    assert rows[0].columns["float"] == ["1.0", None, None, "0.5"]
    assert rows[0].columns["bool"] == ["true", None, "false", "true"]
    for name in ("list", "struct", "binary"):
        with pytest.raises(SourceError, match=f"column '{name}' holds no text"):
            list(read_file(file, PARQUET, [name]))


def test_a_text_in_parquet_that_is_no_utf8_is_a_bad_row(tmp_path: Path) -> None:
    bad = pa.array([b"fine", b"na\xefve", b"last"]).view(pa.binary()).cast(pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 3, bad.buffers())
    pyarrow.parquet.write_table(pa.table({"label": [1, 0, 1], "text": texts}), tmp_path / "a.parquet")
    reading = Reading(1)
    (rows,) = read_file(tmp_path / "a.parquet", PARQUET, COLUMNS, reading)
    assert rows.columns == {"label": ["1", "1"], "text": ["fine", "last"]}
    assert [(row.line, row.n_lines, row.raw) for row in rows.bad] == [(2, 0, b"na\xefve")]


def test_values_mean_the_same_from_every_format(tmp_path: Path) -> None:
    """One table, saved by pandas as CSV, JSON Lines and Parquet."""
    frame = pd.DataFrame(
        {
            "whole": [1, 0, -3],
            "nullable": [1.0, None, 3.0],
            "number": [0.5, 1e-7, 2.0],
            "yes": [True, False, True],
            "text": ["NA", "None", "007"],
            "more": ["null", None, "1.0"],
        }
    )
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    frame.to_parquet(tmp_path / "a.parquet")
    dialects: dict[str, Dialect] = {"csv": CSV, "jsonl": JSONL, "parquet": PARQUET}
    got = {
        name: next(read_file(tmp_path / f"a.{name}", dialect, frame.columns.tolist()))
        for name, dialect in dialects.items()
    }
    assert got["jsonl"].columns == got["parquet"].columns
    assert {name: values for name, values in got["csv"].columns.items() if name != "yes"} == {
        name: values for name, values in got["parquet"].columns.items() if name != "yes"
    }
    assert got["csv"].columns["yes"] == ["True", "False", "True"]  # a text; as a label, or carried along, it is true
    assert got["parquet"].columns["yes"] == ["true", "false", "true"]


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("header", [b'""label,"text"', b'"label"x,text', b'la\\bel,"text"'])
def test_a_header_is_read_as_strictly_as_what_follows(header: bytes, tmp_path: Path) -> None:
    """One reader of two takes such a header and passes over all rows behind it, without a word."""
    with pytest.raises(SourceError, match=r"(?s)The first record cannot be read.*behind a quote"):
        read(tmp_path / "a.csv", header + b"\n1,a\n", csv(escape="backslash"))
    with pytest.raises(SourceError):
        read(tmp_path / "a.csv", header + b"\n1,a\n", csv(escape="none"))
