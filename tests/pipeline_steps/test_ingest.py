"""The step `ingest`: mapping, cleaning, counts, and nothing written when the source is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest

from pipeline_steps.ingest import READS, WRITES, Params, main, report, run
from ratchet.data.cleaning import REPAIRS, text_id
from ratchet.data.cleaning_params import Repair
from ratchet.data.raw_text import raw_texts
from ratchet.data.sources import files as sources_files
from ratchet.data.sources.dialect import CSV
from ratchet.data.sources.rows import Batch
from ratchet.errors import ParamsError, RatchetError, SourceError, TableError
from ratchet.params import check_params
from ratchet.registry.audit_log import entries, log_path
from ratchet.table_files import read_table
from ratchet.tables import CORPUS, RAW, check_table
from tests.support.params import write_params

FILES: dict[str, Any] = {"kind": "files", "path": "own", "sha256": "", "dialect": CSV.model_dump(), "max_bad_rows": 0}
PACKAGED: dict[str, Any] = {**FILES, "kind": "packaged"}
SQL: dict[str, Any] = {
    "kind": "sql",
    "url": "sqlite:///own/a.db",
    "password_variable": "",
    "sha256": "",
    "query": "SELECT 1 ORDER BY 1",
}
VALUES: dict[str, Any] = {
    "source": FILES,
    "watch": "own",
    "text_column": "review",
    "label_column": "stars",
    "ignored_labels": [],
    "source_column": "",
    "id_column": "",
    "time_column": "",
    "group_column": "",
    "metadata_columns": ["when"],
    "classes": [{"name": "bad", "values": [1]}, {"name": "good", "values": ["5"]}],
    "missing_values": [],
    "repairs": list(REPAIRS),
    "personal_data": "flag",
    "regions": ["US"],
}


def _params(**changes: Any) -> Params:
    return check_params(Params, "ingest", {**VALUES, **changes})


def _frame(**columns: Sequence[str | None]) -> pd.DataFrame:
    rows: dict[str, Sequence[str | None]] = {
        "review": ["Bad.<br />So bad", "GOOD  film", None],
        "stars": ["1", "5 ", None],
        "when": ["2020", None, "2021"],
    }
    return pd.DataFrame({**rows, **columns}, dtype="str")


def _run(frames: dict[str, pd.DataFrame], params: Params, batch_rows: int = 100) -> tuple[pd.DataFrame, ...]:
    """Corpus and raw texts of all files, cut into batches; the report is a third of one row."""
    batches = [
        Batch(name, start, frame[start : start + batch_rows])
        for name, frame in frames.items()
        for start in range(0, len(frame), batch_rows)
    ]
    parts = list(run(batches, params))
    figures = report(sum((part.counts for part in parts), Counter()), params)
    corpus = pd.concat([part.corpus for part in parts], ignore_index=True)
    return corpus, pd.concat([part.raw for part in parts], ignore_index=True), pd.DataFrame({"report": [figures]})


def test_maps_cleans_and_counts() -> None:
    corpus, raw, figures = _run({"shop": _frame()}, _params())
    check_table(corpus, CORPUS, "test")
    assert corpus["row"].tolist() == [0, 1, 2]
    assert corpus["text"].tolist() == ["Bad. So bad", "GOOD film", ""]
    assert corpus["id"].tolist() == [text_id(text) for text in corpus["text"]]
    assert corpus["label"].tolist()[:2] == ["bad", "good"]
    assert corpus["label"].isna().tolist() == [False, False, True]
    assert corpus["source"].tolist() == ["shop"] * 3
    assert corpus["when"].isna().tolist() == [False, True, False]
    told = figures["report"][0]
    assert (told["n_rows"], told["n_unlabelled"], told["labels"]) == (3, 1, {"bad": 1, "good": 1})
    assert told["sources"]["shop"] == {"n_rows": 3, "labels": {"bad": 1, "good": 1, "unlabelled": 1}}
    assert (told["n_texts_changed"]["line_breaks"], told["n_texts_changed"]["whitespace"]) == (1, 1)
    check_table(raw, RAW, "test")
    assert raw["raw"].tolist() == ["Bad.<br />So bad", "GOOD  film"]
    assert told["n_raw_kept"] == 2
    assert raw["id"].tolist() == corpus["id"].tolist()[:2]


@pytest.mark.parametrize("batch_rows", [1, 2])
def test_batches_change_nothing(batch_rows: int) -> None:
    frames = {"a": _frame(), "b": _frame()}
    for whole, cut in zip(_run(frames, _params()), _run(frames, _params(), batch_rows), strict=True):
        pd.testing.assert_frame_equal(whole, cut)


def test_only_the_named_repairs_are_done() -> None:
    corpus, raw, figures = _run({"shop": _frame()}, _params(repairs=["whitespace"]))
    assert corpus["text"].tolist() == ["Bad.<br />So bad", "GOOD film", ""]
    assert figures["report"][0]["n_texts_changed"] == {"whitespace": 1}
    assert raw["row"].tolist() == [1]
    assert _run({"shop": _frame()}, _params(repairs=[]))[1].empty


def test_the_repairs_that_params_take_are_those_that_there_are() -> None:
    assert list(get_args(Repair)) == list(REPAIRS)


def test_timestamps_are_utc_and_may_be_missing() -> None:
    times: list[str | None] = ["2026-03-01", None, "2026-03-01T08:30:00+02:00"]
    corpus, *_ = _run({"shop": _frame(made=times)}, _params(time_column="made"))
    check_table(corpus, CORPUS, "test")
    assert corpus["timestamp"].astype("str").tolist()[2] == "2026-03-01 06:30:00+00:00"
    assert corpus["timestamp"].isna().tolist() == [False, True, False]
    with pytest.raises(TableError, match=r"row 1 \(from 0\), column 'made'.*\n.*got: yesterday"):
        _run({"shop": _frame(made=["2026-03-01", "yesterday", None])}, _params(time_column="made"))


def test_files_follow_each_other_in_order() -> None:
    corpus, _, figures = _run({"a": _frame(), "b": _frame()}, _params())
    assert corpus["row"].tolist() == list(range(6))
    assert corpus["source"].tolist() == ["a"] * 3 + ["b"] * 3
    assert sorted(figures["report"][0]["sources"]) == ["a", "b"]


def test_source_column_falls_back_to_the_file_where_empty() -> None:
    corpus, *_ = _run({"file": _frame(site=["x", None, "y"])}, _params(source_column="site"))
    assert corpus["source"].tolist() == ["x", "file", "y"]


def test_run_leaves_its_input_alone() -> None:
    frame = _frame()
    _run({"shop": frame}, _params())
    pd.testing.assert_frame_equal(frame, _frame())


def test_several_raw_values_mean_one_class_whatever_their_type() -> None:
    classes = [{"name": "ham", "values": [0, "no"]}, {"name": "spam", "values": [1, "yes", "Spam"]}]
    stars = ["1.0", "true", "yes", "Spam", "0", "False", " no ", ""]
    texts: list[str | None] = [f"text {row}" for row in range(len(stars))]
    frame = pd.DataFrame({"review": texts, "stars": stars, "when": texts}, dtype="str")
    labels = _run({"shop": frame}, _params(classes=classes))[0]["label"].tolist()
    assert labels[:7] == ["spam"] * 4 + ["ham"] * 3
    assert pd.isna(labels[7])


def test_ignored_labels_leave_texts_and_other_columns_as_they_are() -> None:
    texts: list[str | None] = ["unsure", "a text", "good", "another"]
    stars: list[str | None] = [" unsure", "3.0", "5", "1"]
    when: list[str | None] = ["unsure", "3", "unsure", "2020"]
    params = _params(ignored_labels=["unsure", "3", "never"])
    corpus, _, figures = _run({"shop": _frame(review=texts, stars=stars, when=when)}, params, batch_rows=1)
    assert corpus["label"].isna().tolist() == [True, True, False, False]
    assert (corpus["text"].tolist(), corpus["when"].tolist()) == (texts, when)
    told = figures["report"][0]
    assert told["n_labels_ignored"] == {"unsure": 1, "3": 1, "never": 0}
    assert (told["n_unlabelled"], told["labels"]) == (2, {"bad": 1, "good": 1})


def test_unknown_label_is_named() -> None:
    with pytest.raises(TableError) as error:
        _run({"shop": _frame(stars=["1", "3", "4"])}, _params())
    for part in (
        "shop, row 1 (from 0), column 'stars'",
        "2 of the 3 rows",
        "got: 3, 4",
        "expected: 1, 5",
        "task.classes",
        "task.ignored_labels",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": PACKAGED}, "ingest.source.packaged.sha256"),
        ({"watch": "elsewhere"}, "a change of 'own' goes unnoticed"),
        ({"source": {**FILES, "path": "own/*.csv"}, "watch": "own/shop.csv"}, "goes unnoticed"),
        ({"source": SQL, "watch": "elsewhere"}, "a change of 'own/a.db' goes unnoticed"),
        ({"source": {**SQL, "url": "postgresql://me:hush@host/db"}}, "url holds a password"),
        ({"repairs": ["tags", "entities"]}, "in the order entities, tags"),
        ({"repairs": ["tags", "tags"]}, "each once"),
        ({"repairs": ["spelling"]}, "ingest.repairs"),
        ({"metadata_columns": ["id"]}, "must not be named id"),
        ({"source": {**FILES, "sha256": "abc"}}, "ingest.source.files.sha256"),
        ({"source": {**FILES, "kind": "url"}}, "ingest.source"),
        ({"source": {**FILES, "query": "x"}}, "query: unknown key"),
        ({"extra": 1}, "unknown key"),
    ],
)
def test_bad_params(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as error:
        _params(**changes)
    assert "hush" not in str(error.value)


def _workspace(folder: Path, **changes: Any) -> None:
    (folder / "own").mkdir()
    _frame().to_csv(folder / "own" / "shop.csv", index=False)
    write_params(Params, "ingest", {**VALUES, **changes}, folder)


def test_main_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    main()
    first = {path: Path(path).read_bytes() for path in WRITES.values()}
    main()
    assert first == {path: Path(path).read_bytes() for path in WRITES.values()}
    assert len(read_table(Path(WRITES["corpus"]), CORPUS)) == 3
    told = json.loads(Path(WRITES["report"]).read_text())
    assert told["command"] == "python -m pipeline_steps.ingest"
    assert told["source"]["path"] == "own"
    assert len(told["source"]["sha256"]) == 64
    assert READS == {"watch": "${ingest.watch}", "forgotten": "data/forgotten.json"}


def test_the_raw_text_comes_back_by_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    main()
    path = Path(WRITES["raw"])
    assert raw_texts(path, text_id("good film")) == {1: "GOOD  film"}
    assert raw_texts(path, text_id("never written")) == {}
    module = [sys.executable, "-m", "ratchet", "raw-text"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RATCHET_WHO": "ann"}
    env.pop("RATCHET_AUDIT_LOG", None)
    done = subprocess.run([*module, text_id("bad. so bad")], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "row 0:\nBad.<br />So bad\n\n"
    done = subprocess.run([*module, "0" * 16], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "No text with this id" in done.stderr) == (1, True)
    (looked,) = entries(log_path(tmp_path))  # what was not shown is not logged as seen
    assert (looked.who, looked.action, looked.subject) == ("ann", "personal_data", text_id("bad. so bad"))
    assert looked.details == {"table": "data/raw.parquet", "n_rows": 1, "revision": "none"}


def test_nothing_unmasked_outlives_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, personal_data="mask")
    hidden = "call (650)<b>253</b>-0000"  # a number once the tags are gone, and none before
    reviews = ["write to jo@example.org", "an &#106;o&#64;example.org", hidden, "GOOD  film", "good"]
    _frame(review=reviews, stars=["1"] * 5, when=[""] * 5).to_csv(tmp_path / "own" / "shop.csv", index=False)
    main()
    corpus = read_table(Path(WRITES["corpus"]), CORPUS)
    assert corpus["text"].tolist() == ["write to [EMAIL]", "an [EMAIL]", "call [PHONE]", "GOOD film", "good"]
    assert corpus["id"].tolist() == [text_id(text) for text in corpus["text"]]
    raw = Path(WRITES["raw"])
    found = read_table(raw, RAW)
    assert dict(zip(found["row"], found["raw"], strict=True)) == {
        **dict(enumerate(corpus["text"][:3])),
        3: "GOOD  film",
    }
    for key in (text_id("write to [EMAIL]"), text_id("write to jo@example.org")):
        assert raw_texts(raw, key) == {0: "write to [EMAIL]"}
    assert raw_texts(raw, text_id("good film")) == {3: "GOOD  film"}
    told = json.loads(Path(WRITES["report"]).read_text())
    assert told["n_masked"] == {"emails": 2, "phones": 1, "cards": 0, "ibans": 0, "national_numbers": 0}


def test_personal_data_in_carried_columns_is_masked() -> None:
    frame = _frame(when=["by jo@example.org", None, "by jo@example.org"], site=["shop", "call +1 650 253 0000", "shop"])
    params = _params(personal_data="mask", source_column="site")
    corpus, _, figures = _run({"shop": frame}, params)
    assert corpus["when"].tolist()[::2] == ["by [EMAIL]"] * 2
    assert corpus["when"].isna().tolist() == [False, True, False]
    assert corpus["source"].tolist() == ["shop", "call [PHONE]", "shop"]
    assert figures["report"][0]["n_masked"] == {"emails": 2, "phones": 1, "cards": 0, "ibans": 0, "national_numbers": 0}
    as_they_are, *_ = _run({"shop": frame}, _params(source_column="site"))
    assert as_they_are["when"].tolist()[0] == "by jo@example.org"


@pytest.mark.parametrize("key", ["id_column", "group_column"])
def test_personal_data_in_ids_and_groups_is_refused(key: str) -> None:
    frame = _frame(who=["ann", "jo@example.org", None])
    with pytest.raises(TableError, match="an id or a group") as error:
        _run({"shop": frame}, _params(personal_data="mask", **{key: "who"}))
    assert "shop, row 1 (from 0), column 'who'" in str(error.value)
    assert "jo@" not in str(error.value)
    numbers = _frame(who=["4111111111111111", "4111111111111111", "2"])  # no cards
    corpus, *_ = _run({"shop": numbers}, _params(personal_data="mask", **{key: "who"}))
    assert corpus["who"].tolist() == numbers["who"].tolist()


def test_a_fault_in_a_late_batch_leaves_the_last_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources_files, "BATCH_ROWS", 2)
    _workspace(tmp_path)
    main()
    before = {path: Path(path).read_bytes() for path in WRITES.values()}
    _frame(stars=["1", "5", "9"]).to_csv(tmp_path / "own" / "shop.csv", index=False)
    with pytest.raises(TableError, match=r"shop\.csv, line 4, column 'stars'; 1 of the 1 rows from row 2 on"):
        main()
    assert before == {path: Path(path).read_bytes() for path in WRITES.values()}
    assert len(list((tmp_path / "data").iterdir())) == 3


def test_files_of_one_name_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, source={**FILES, "path": "own/**/*.csv"})
    (tmp_path / "own" / "b").mkdir()
    _frame().to_csv(tmp_path / "own" / "b" / "shop.csv", index=False)
    main()
    corpus = read_table(Path(WRITES["corpus"]), CORPUS)
    assert corpus["source"].unique().tolist() == ["own/b/shop.csv", "own/shop.csv"]
    assert len(corpus) == 6


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"source": {**FILES, "path": "nowhere.csv"}, "watch": "nowhere.csv"}, SourceError),
        ({"source": {**FILES, "sha256": "0" * 64}}, SourceError),
        ({"text_column": "body"}, SourceError),
        ({"classes": [{"name": "bad", "values": [1]}, {"name": "good", "values": [4]}]}, TableError),
    ],
)
def test_nothing_is_written_from_a_bad_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[RatchetError]
) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, **changes)
    with pytest.raises(error):
        main()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["params.yaml", "shop.csv"]


def test_a_forgotten_text_stays_out_in_each_of_its_forms() -> None:
    """As it came, as it was repaired, and as it was masked: other repairs do not bring it back."""
    frame = _frame(review=["Bad.<br />So bad", "GOOD  film", "Mail a@b.org"])
    for forgotten in ("Bad.<br />So bad", "Bad. So bad"):
        (part,) = run([Batch("a", 0, frame)], _params(), frozenset({text_id(forgotten)}))
        assert part.corpus["text"].tolist() == ["GOOD film", "Mail a@b.org"]
        assert part.corpus["row"].tolist() == [0, 1]
        assert part.counts["forgotten",] == 1
    for forgotten in ("Mail a@b.org", "Mail [EMAIL]"):
        (part,) = run([Batch("a", 0, frame)], _params(personal_data="mask"), frozenset({text_id(forgotten)}))
        assert part.corpus["text"].tolist() == ["Bad. So bad", "GOOD film"]
        assert "Mail" not in str(part.raw.to_dict())
