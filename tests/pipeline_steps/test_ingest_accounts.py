"""`ingest` accounts for every record of every file, and values mean the same from every format."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_steps.ingest import MAX_SOURCES, OTHERS, SHOWN_SOURCES, WRITES, Params, check_written, main
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, Dialect
from ratchet.data.sources.reading import FileTally
from ratchet.errors import SourceError, TableError
from ratchet.table_files import read_table
from ratchet.tables import BAD_ROWS, CORPUS
from tests.pipeline_steps.test_ingest import VALUES
from tests.support.params import write_params

CLASSES = [{"name": "urgent", "values": [1, "yes", "Yes"]}, {"name": "routine", "values": [0, "no"]}]


def ingested(
    folder: Path, dialect: Dialect = CSV, most: int = 0, **changes: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The corpus and the report of what lies in `own`."""
    source = {"kind": "files", "path": "own", "sha256": "", "dialect": dialect.model_dump(), "max_bad_rows": most}
    named = {"text_column": "text", "label_column": "label", "metadata_columns": [], "classes": CLASSES}
    write_params(Params, "ingest", {**VALUES, **named, "source": source, **changes}, folder)
    main()
    return read_table(Path(WRITES["corpus"]), CORPUS), json.loads(Path(WRITES["report"]).read_text())


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_every_record_of_every_file_is_a_row_a_bad_row_or_excluded_by_name(tmp_path: Path, own: Path) -> None:
    (own / "a.csv").write_bytes(b"label,text\n1,fine\n\n1,Good film, great cast\n0,bad\n")
    (own / "b.csv").write_bytes(b"label,text\r\n0,na\xefve\r\nno,last\r\n")
    (own / "empty.csv").write_bytes(b"label,text\n")
    (own / "_SUCCESS").touch()
    with pytest.raises(SourceError, match=r"a\.csv, line 4"):
        ingested(tmp_path)
    assert not Path(WRITES["corpus"]).exists()
    with pytest.raises(SourceError, match=r"b\.csv, line 2"):
        ingested(tmp_path, most=1)
    corpus, told = ingested(tmp_path, most=2)
    assert corpus["text"].tolist() == ["fine", "bad", "last"]
    files = told["source"]["files"]
    assert [(file["n_records"], file["n_rows"], file["n_bad"], file["excluded"]) for file in files] == [
        (4, 2, 1, {"blank lines": 1}),
        (2, 1, 1, {}),
        (0, 0, 0, {}),
    ]
    assert files[1]["noted"] == {"records beyond ASCII, valid as utf-8": 1}
    assert told["source"]["left_out"] == [{"name": "own/_SUCCESS", "reason": "a dot file or marker"}]
    bad = read_table(Path(WRITES["bad_rows"]), BAD_ROWS)
    assert bad["raw"].tolist() == [b"1,Good film, great cast\n", b"0,na\xefve\r\n"]
    assert bad[["file", "line"]].to_numpy().tolist() == [["own/a.csv", 4], ["own/b.csv", 2]]


def test_tables_that_do_not_hold_what_was_read_are_removed(tmp_path: Path, own: Path) -> None:
    (own / "a.csv").write_bytes(b"label,text\n1,fine\n0,b,c\n0,bad\n")
    ingested(tmp_path, most=1)
    paths = Path(WRITES["corpus"]), Path(WRITES["bad_rows"])
    right = FileTally("own/a.csv", n_records=3, n_rows=2, n_bad=1)
    check_written([right], *paths)
    for wrong in (
        FileTally("own/a.csv", n_records=4, n_rows=3, n_bad=1),
        FileTally("own/b.csv", n_records=3, n_rows=2, n_bad=1),
        FileTally("own/a.csv", n_records=2, n_rows=2, n_bad=0),
    ):
        ingested(tmp_path, most=1)
        with pytest.raises(TableError, match="do not hold what was read"):
            check_written([wrong], *paths)
        assert not any(path.exists() for path in paths)


def test_a_record_that_swallowed_the_next_is_set_aside_by_the_task_s_own_labels(tmp_path: Path, own: Path) -> None:
    (own / "a.csv").write_bytes(b'label,text\nno,first\nno,"second\nyes,third"\nno,"to do:\n1, open"\n')
    corpus, told = ingested(tmp_path)
    assert told["source"]["n_bad_rows"] == 1
    assert corpus["text"].tolist() == ["first", "to do: 1, open"]
    assert read_table(Path(WRITES["bad_rows"]), BAD_ROWS)["raw"].tolist() == [b'no,"second\nyes,third"\n']


def test_texts_that_were_encoded_twice_are_counted_and_not_repaired(tmp_path: Path, own: Path) -> None:
    (own / "a.csv").write_bytes("label,text\n1,cafÃ©\n0,å£5\n1,café\n".encode("cp1252"))
    corpus, told = ingested(tmp_path, CSV.model_copy(update={"encoding": "cp1252"}))
    assert corpus["text"].tolist() == ["cafÃ©", "å£5", "café"]
    assert told["n_texts_twice_encoded"] == 2
    assert told["source"]["files"][0]["noted"] == {"records beyond ASCII, read by cp1252, which no byte proves": 3}


TIMES: list[Any] = ["2026-03-01T08:30:00Z", None, "2026-03-01", "2026-07-01T23:00:00+02:00", "2026"]
FRAME = pd.DataFrame(
    {
        "text": ["needs an answer today", "no hurry", "please hurry", "asap", "None"],
        "label": [1.0, 0.0, 1.0, 0.0, None],
        "seen": [True, False, True, False, True],
        "made": pd.to_datetime(TIMES, format="ISO8601", utc=True),
        "code": ["007", "NA", "1.0", None, "null"],
    }
)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_values_mean_the_same_from_every_format(tmp_path: Path, own: Path, suffix: str) -> None:
    """Labels, booleans, missing values and times of one table, saved by pandas."""
    if suffix == "csv":
        FRAME.to_csv(own / "a.csv", index=False)
    elif suffix == "jsonl":
        FRAME.to_json(own / "a.jsonl", orient="records", lines=True, date_format="iso")
    else:
        FRAME.to_parquet(own / "a.parquet")
    dialects: dict[str, Dialect] = {"csv": CSV, "jsonl": JSONL, "parquet": PARQUET}
    named: dict[str, Any] = {
        "time_column": "made",
        "metadata_columns": ["seen", "code"],
        "missing_values": ["NA", "null"],
    }
    corpus, told = ingested(tmp_path, dialects[suffix], **named)
    assert corpus["text"].tolist() == FRAME["text"].tolist()  # a text may well be "None"
    assert corpus["label"].tolist()[:4] == ["urgent", "routine"] * 2
    assert told["n_unlabelled"] == 1
    assert corpus["seen"].tolist() == ["true", "false", "true", "false", "true"]
    assert corpus["code"].fillna("missing").tolist() == ["007", "missing", "1.0", "missing", "missing"]
    assert corpus["timestamp"].tolist()[0] == pd.Timestamp("2026-03-01T08:30:00Z")
    assert corpus["timestamp"].tolist()[3] == pd.Timestamp("2026-07-01T21:00:00Z")
    assert corpus["timestamp"].isna().tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("spelling", ["2026-03-01T08:30:00", "2026-03-01 08:30:00+00:00", "2026-03-01T09:30:00+01:00"])
def test_a_time_without_a_zone_is_utc(tmp_path: Path, own: Path, spelling: str) -> None:
    (own / "a.csv").write_text(f"text,label,made\nfine,1,{spelling}\nnone,0,\n")
    corpus, _ = ingested(tmp_path, time_column="made")
    assert corpus["timestamp"].tolist()[0] == pd.Timestamp("2026-03-01T08:30:00Z")


def test_labels_of_many_spellings_are_one_class(tmp_path: Path, own: Path) -> None:
    """As in label_spellings.csv; an unlabelled row stays."""
    (own / "a.csv").write_text(
        "text,label\nneeds an answer today,1\nno hurry,0.0\nplease hurry,yes\nasap,Yes\nwhenever,no\nunlabelled one,\n"
    )
    corpus, told = ingested(tmp_path)
    assert corpus["label"].tolist()[:5] == ["urgent", "routine", "urgent", "urgent", "routine"]
    assert told["n_unlabelled"] == 1


def test_partitions_of_a_folder_are_columns(tmp_path: Path, own: Path) -> None:
    for name, text in (("lang=de/team=a%20b", "gut"), ("lang=__HIVE_DEFAULT_PARTITION__/team=c", "fine")):
        (own / name).mkdir(parents=True)
        (own / name / "part-0.csv").write_text(f"text,label\n{text},1\n")
    corpus, _ = ingested(tmp_path, metadata_columns=["lang", "team"])
    assert corpus["text"].tolist() == ["fine", "gut"]
    assert corpus["lang"].fillna("missing").tolist() == ["missing", "de"]
    assert corpus["team"].tolist() == ["c", "a b"]


def test_twenty_thousand_sources_are_counted_in_flat_memory(tmp_path: Path, own: Path) -> None:
    n_rows = 20_000
    frame = pd.DataFrame({"text": "fine", "label": "1", "site": [f"site {row}" for row in range(n_rows)]})
    frame.loc[:9, "site"] = "largest"
    frame.to_csv(own / "a.csv", index=False)
    corpus, told = ingested(tmp_path, source_column="site")
    assert corpus["source"].nunique() == n_rows - 9
    assert told["n_rows"] == n_rows == sum(entry["n_rows"] for entry in told["sources"].values())
    assert len(told["sources"]) == SHOWN_SOURCES + 1
    assert told["sources"]["largest"]["n_rows"] == 10
    assert told["sources"][OTHERS]["labels"] == {"urgent": n_rows - 10 - (SHOWN_SOURCES - 1)}
    assert told["n_sources"] <= MAX_SOURCES


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Of ten times the rows, less than half more at once."""
    from ratchet.data.sources.formats import read_file

    peaks = []
    for n_rows in (2_000, 20_000):
        path = tmp_path / f"{n_rows}.csv"
        path.write_text("text,label\n" + '"a text, not long",1\n' * n_rows)
        tracemalloc.start()
        n_read = sum(len(rows.lines) for rows in read_file(path, CSV, ["text", "label"], batch_rows=500))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n_read == n_rows
    assert peaks[1] < 1.5 * peaks[0]
