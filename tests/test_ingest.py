"""The step `ingest`: mapping, cleaning, counts, and nothing written when the source is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_steps.ingest import READS, WRITES, Params, main, run
from ratchet.data.cleaning import text_id
from ratchet.errors import ParamsError, RatchetError, SourceError, TableError
from ratchet.params import check_params
from ratchet.tables import CORPUS, check_table, read_table

VALUES: dict[str, Any] = {
    "kind": "files", "path": "own", "watch": "own", "sha256": "", "text_column": "review", "label_column": "stars",
    "source_column": "", "metadata_columns": ["when"], "label_values": ["1", "5"], "labels": ["bad", "good"],
}  # fmt: skip


def _params(**changes: Any) -> Params:
    return check_params(Params, "ingest", {**VALUES, **changes})


def _frame(**columns: list[str | None]) -> pd.DataFrame:
    rows: dict[str, list[str | None]] = {
        "review": ["Bad.<br />So bad", "GOOD  film", None], "stars": ["1", "5 ", None], "when": ["2020", None, "2021"]
    }  # fmt: skip
    return pd.DataFrame({**rows, **columns}, dtype="str")


def test_maps_cleans_and_counts() -> None:
    corpus, report = run({"shop": _frame()}, _params())
    check_table(corpus, CORPUS, "test")
    assert corpus["row"].tolist() == [0, 1, 2]
    assert corpus["text"].tolist() == ["Bad. So bad", "GOOD film", ""]
    assert corpus["id"].tolist() == [text_id(text) for text in corpus["text"]]
    assert corpus["label"].tolist()[:2] == ["bad", "good"]
    assert corpus["label"].isna().tolist() == [False, False, True]
    assert corpus["source"].tolist() == ["shop"] * 3
    assert corpus["when"].isna().tolist() == [False, True, False]
    assert (report["n_rows"], report["n_unlabelled"], report["labels"]) == (3, 1, {"bad": 1, "good": 1})
    assert report["sources"]["shop"] == {"n_rows": 3, "labels": {"bad": 1, "good": 1, "unlabelled": 1}}
    assert (report["n_texts_changed"]["line_breaks"], report["n_texts_changed"]["whitespace"]) == (1, 1)


def test_files_follow_each_other_in_order() -> None:
    corpus, report = run({"a": _frame(), "b": _frame()}, _params())
    assert corpus["row"].tolist() == list(range(6))
    assert corpus["source"].tolist() == ["a"] * 3 + ["b"] * 3
    assert sorted(report["sources"]) == ["a", "b"]


def test_source_column_falls_back_to_the_file_where_empty() -> None:
    corpus, _ = run({"file": _frame(site=["x", None, "y"])}, _params(source_column="site"))
    assert corpus["source"].tolist() == ["x", "file", "y"]


def test_run_leaves_its_input_alone() -> None:
    frame = _frame()
    run({"shop": frame}, _params())
    pd.testing.assert_frame_equal(frame, _frame())


def test_unknown_label_is_named() -> None:
    with pytest.raises(TableError) as error:
        run({"shop": _frame(stars=["1", "3", "4"])}, _params())
    for part in ("shop, column 'stars', row 1", "2 rows in all", "got: 3, 4", "expected: 1, 5", "label_values"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "packaged"}, "sha256 must be pinned"),
        ({"watch": "elsewhere"}, "a change of 'own' goes unnoticed"),
        ({"path": "own/*.csv", "watch": "own/shop.csv"}, "goes unnoticed"),
        ({"labels": ["bad"]}, "at least 2"),
        ({"labels": ["a", "b", "c"]}, "2 label_values for 3 labels"),
        ({"labels": ["a", "a"]}, "must not repeat"),
        ({"label_values": ["1", "1"]}, "must not repeat"),
        ({"metadata_columns": ["id"]}, "must not be named id"),
        ({"sha256": "abc"}, "ingest.sha256"),
        ({"kind": "url"}, "ingest.kind"),
        ({"extra": 1}, "unknown key"),
    ],
)
def test_bad_params(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        _params(**changes)


def _workspace(folder: Path, **changes: Any) -> None:
    (folder / "own").mkdir()
    _frame().to_csv(folder / "own" / "shop.csv", index=False)
    (folder / "params.yaml").write_text(json.dumps({"ingest": {**VALUES, **changes}}))


def test_main_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    main()
    first = {path: Path(path).read_bytes() for path in WRITES.values()}
    main()
    assert first == {path: Path(path).read_bytes() for path in WRITES.values()}
    assert len(read_table(Path(WRITES["corpus"]), CORPUS)) == 3
    report = json.loads(Path(WRITES["report"]).read_text())
    assert report["command"] == "python -m pipeline_steps.ingest"
    assert report["source"]["path"] == "own"
    assert len(report["source"]["sha256"]) == 64
    assert READS == {"watch": "${ingest.watch}"}


def test_files_of_one_name_stay_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, path="own/**/*.csv")
    (tmp_path / "own" / "b").mkdir()
    _frame().to_csv(tmp_path / "own" / "b" / "shop.csv", index=False)
    main()
    corpus = read_table(Path(WRITES["corpus"]), CORPUS)
    assert corpus["source"].unique().tolist() == ["own/b/shop.csv", "own/shop.csv"]
    assert len(corpus) == 6


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"path": "nowhere.csv", "watch": "nowhere.csv"}, SourceError),
        ({"sha256": "0" * 64}, SourceError),
        ({"text_column": "body"}, SourceError),
        ({"label_values": ["1", "4"]}, TableError),
    ],
)
def test_nothing_is_written_from_a_bad_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[RatchetError]
) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, **changes)
    with pytest.raises(error):
        main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "params.yaml"]
