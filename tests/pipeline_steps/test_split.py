"""The step `split`: stable, leak-free, stratified in expectation, complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from pipeline_steps.split import READS, WRITES, Params, Splits, check_splits, main, run
from ratchet.data.batches import Batches
from ratchet.data.cleaning import text_id
from ratchet.data.near_duplicates import near_duplicate_pairs
from ratchet.data.rules.suites import read_suite
from ratchet.data.shingles import Shingles
from ratchet.errors import ParamsError, ValidationError
from ratchet.params import check_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import CORPUS, QUARANTINE, SPLIT, check_table
from tests.support.films import FILMS
from tests.support.params import write_params

VALUES: dict[str, Any] = {
    "length_quantiles": [0.33, 0.67],
    "by": "hash",
    "group_column": "",
    "time_column": "",
    "train_sources": ["shop"],
    "validation_rate": 0.15,
    "test_rate": 0.25,
    "n_transfer": 40,
    "near_duplicate_threshold": 0.8,
    "salt": "test",
}
SIDES = ("train", "validation", "test")


def _corpus(n: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Random texts of two sources and classes, a tenth unlabelled, a third near-duplicates of an earlier one."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    for _ in range(n):
        if texts and rng.random() < 0.33:
            texts.append(f"{texts[rng.integers(len(texts))]} {rng.integers(1000)}")
        else:
            texts.append(" ".join(f"w{number}" for number in rng.integers(0, 500, 20)))
    columns = {
        "id": [text_id(text) for text in texts],
        "text": texts,
        "label": rng.choice(["bad", "good"], n),
        "source": rng.choice(["shop", "blog"], n, p=[0.8, 0.2]),
    }
    frame = pd.DataFrame({"row": range(n), **columns}).drop_duplicates("id", ignore_index=True)
    frame = frame.astype(dict.fromkeys(columns, "str"))
    frame.loc[rng.random(len(frame)) < 0.1, "label"] = None
    return frame


def _quarantine(rows: pd.DataFrame | None = None, rule: str = "conflicting_labels") -> pd.DataFrame:
    rows = _corpus(1).iloc[:0] if rows is None else rows
    return rows.assign(rule=pd.Series(rule, index=rows.index, dtype="str"), value="", reason=rows["text"])


class Found(NamedTuple):
    tables: dict[str, pd.DataFrame]
    report: dict[str, Any]


def _batches(frame: pd.DataFrame, n_rows: int = 250) -> Batches:
    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        for start in range(0, max(1, len(frame)), n_rows):
            yield frame[start : start + n_rows][list(columns or frame.columns)].reset_index(drop=True)

    return read


def _run(corpus: pd.DataFrame, quarantine: pd.DataFrame | None = None, **changes: Any) -> Found:
    quarantine = _quarantine(corpus[:0]) if quarantine is None else quarantine
    params = check_params(Params, "split", {**VALUES, **changes})
    splits = run(_batches(corpus), _batches(quarantine), params)
    return Found(splits.tables(corpus), splits.report)


def _sides(splits: Found) -> dict[str, str]:
    return {key: side for side in SIDES for key in splits.tables[side]["id"]}


def test_every_row_is_somewhere_once() -> None:
    corpus = _corpus()
    splits = _run(corpus, n_transfer=10_000)
    ids = [key for table in splits.tables.values() for key in table["id"]]
    assert sorted(ids) == sorted(corpus["id"])
    assert splits.report["n_in"] == len(corpus)
    for name, table in splits.tables.items():
        check_table(table, SPLIT, name)
        assert table["row"].is_monotonic_increasing
    assert set(splits.tables) == {*SIDES, "transfer", "excluded"}
    assert set(splits.tables["transfer"]["source"]) == {"blog"}
    assert {source for side in SIDES for source in splits.tables[side]["source"]} == {"shop"}


@pytest.mark.parametrize("n", [300, 700, 1100])
def test_appending_rows_never_moves_an_id(n: int) -> None:
    corpus = _corpus()
    before, after = _sides(_run(corpus[:n], n_transfer=0)), _sides(_run(corpus, n_transfer=0))
    assert before
    assert {key: after.get(key) for key in before} == before


def test_near_duplicates_never_straddle() -> None:
    corpus = _corpus()
    splits = _run(corpus, n_transfer=10_000)
    side = _sides(splits) | dict.fromkeys(splits.tables["transfer"]["id"], "transfer")
    pairs = near_duplicate_pairs(Shingles(corpus["text"].tolist()), 0.8)
    both = [(side.get(corpus["id"][a]), side.get(corpus["id"][b])) for a, b in pairs]
    assert sum(a is not None and a == b for a, b in both) > 50
    assert [(a, b) for a, b in both if a and b and a != b] == []
    groups = pd.concat([splits.tables[name].assign(side=name) for name in SIDES]).groupby("group")["side"]
    assert groups.nunique().max() == 1
    assert groups.size().max() > 1


def test_a_contradicted_text_still_holds_its_group() -> None:
    corpus = _corpus()
    before = _sides(_run(corpus))
    first = corpus["id"].isin({a for side in SIDES for a in _run(corpus).tables[side]["group"]})
    gone = corpus[first][::3]
    after = _sides(_run(corpus.drop(gone.index), _quarantine(gone)))
    assert after == {key: side for key, side in before.items() if key not in set(gone["id"])}
    assert after != _sides(_run(corpus.drop(gone.index), _quarantine(gone, rule="too_few_words")))


def test_tests_hold_labelled_rows_only_and_the_others_wait() -> None:
    corpus = _corpus()
    splits = _run(corpus)
    for name in ("validation", "test", "transfer"):
        assert splits.tables[name]["label"].notna().all()
    assert splits.tables["train"]["label"].isna().any()
    waiting = splits.tables["excluded"][splits.tables["excluded"]["label"].isna()]
    assert "belongs to test, but nobody has labelled it yet" in set(waiting["reason"])
    labelled = _sides(_run(corpus.assign(label=corpus["label"].fillna("good"))))
    assert {key: labelled[key] for key in _sides(splits)} == _sides(splits)
    assert set(splits.tables["train"]["id"]) == {key for key, side in labelled.items() if side == "train"}


def test_transfer_is_a_stratified_sample_that_ignores_order() -> None:
    corpus = _corpus()
    splits = _run(corpus)
    assert len(splits.tables["transfer"]) == 40
    available = _run(corpus, n_transfer=10_000).tables["transfer"]
    share = (available["label"] == "good").mean()
    assert abs((splits.tables["transfer"]["label"] == "good").sum() - 40 * share) < 1
    assert splits.report["n_transfer_available"] == len(available)


def test_realised_rates_are_reported_and_near_the_targets() -> None:
    corpus = _corpus(3000)
    report = _run(corpus).report
    assert set(report["strata"]) == {"shop / bad", "shop / good"}
    for side, rate in {"validation": 0.15, "test": 0.25}.items():
        for stratum in ("shop / bad", "shop / good"):
            row = report["strata"][stratum]
            assert abs(row[f"{side}_rate_deviation"]) < 0.08
            assert row[f"{side}_rate"] - rate == pytest.approx(row[f"{side}_rate_deviation"])
    assert report["max_rate_deviation"] < 0.08


def test_no_sources_named_means_all() -> None:
    splits = _run(_corpus(), train_sources=[])
    assert splits.tables["transfer"].empty
    assert set(splits.tables["train"]["source"]) == {"shop", "blog"}


def test_another_salt_gives_another_split() -> None:
    assert _sides(_run(_corpus())) != _sides(_run(_corpus(), salt="other"))


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ValidationError) as error:
        _run(_corpus(), train_sources=["shop", "news"])
    assert "got: news" in str(error.value)
    assert "expected: some of blog, shop" in str(error.value)


@pytest.mark.parametrize("side", ["validation", "test"])
def test_a_class_that_the_hash_leaves_out_of_a_side_gets_a_text_there(side: str) -> None:
    corpus = _corpus()
    corpus = corpus[~(corpus["id"].isin(_run(corpus).tables[side]["id"]) & (corpus["label"] == "good"))]
    splits = _run(corpus.reset_index(drop=True))
    assert "good" in set(splits.tables[side]["label"])
    assert splits.report["n_groups_moved_for_rare_classes"] == 1
    groups = pd.concat([splits.tables[name].assign(side=name) for name in SIDES]).groupby("group")["side"]
    assert groups.nunique().max() == 1


def test_a_class_too_rare_for_three_sides_is_named_with_what_helps() -> None:
    corpus = _corpus()
    rare = corpus[corpus["source"] == "shop"].dropna(subset="label").drop_duplicates("label", keep="last").index[:1]
    corpus.loc[rare, "label"] = "late"
    with pytest.raises(ValidationError) as error:
        _run(corpus)
    words = str(error.value)
    assert "late: 1 group of texts, 4 more are needed" in words
    assert "good" not in words
    assert all(way in words for way in ("label as many more", "merge the class", "drop it"))


def test_a_class_that_the_other_domain_lacks_is_no_obstacle() -> None:
    splits = _run(_corpus(), n_transfer=1)
    assert splits.tables["transfer"]["label"].nunique() == 1


def _authors(corpus: pd.DataFrame) -> pd.DataFrame:
    """Every second row by one of 40 authors."""
    names = [f"author {row % 40}" if row % 2 else None for row in range(len(corpus))]
    return corpus.assign(author=pd.Series(names, dtype="str"))


def test_rows_of_an_author_and_their_near_duplicates_lie_on_one_side_and_rows_without_one_are_free() -> None:
    corpus = _authors(_corpus(2000))
    splits = _run(corpus, group_column="author", n_transfer=0, test_rate=0.3)
    placed = pd.concat([splits.tables[name].assign(side=name) for name in SIDES])
    assert placed.dropna(subset="author").groupby("author")["side"].nunique().max() == 1
    assert placed.groupby("group")["side"].nunique().max() == 1
    of_author = placed.dropna(subset="author").groupby("author")["group"].nunique()
    assert of_author.max() == 1
    free = placed[placed["author"].isna()]
    assert set(free["side"]) == {*SIDES}  # a missing author is no author whom all these rows share
    assert free["group"].nunique() > 100


def test_an_unlabelled_row_whose_labelled_twin_came_later_still_holds_its_group() -> None:
    corpus = _corpus().assign(label="good")
    corpus.loc[::2, "label"] = "bad"
    before = _sides(_run(corpus))
    leaders = corpus["id"].isin({a for side in SIDES for a in _run(corpus).tables[side]["group"]})
    early = corpus[leaders & (corpus["source"] == "shop")][::3]
    later = early.assign(row=early["row"] + len(corpus) + 1000)
    twins = pd.concat([corpus.drop(early.index), later], ignore_index=True)
    unlabelled = early.assign(label=pd.Series(None, index=early.index, dtype="str"))
    quarantine = _quarantine(unlabelled, "exact_duplicate")
    assert _sides(_run(twins, quarantine)) == before
    assert _sides(_run(twins)) != before


def _dated(corpus: pd.DataFrame) -> pd.DataFrame:
    """A day apart, in a mixed order; every twentieth row without a time."""
    days = np.random.default_rng(3).permutation(len(corpus))
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(days, unit="D")
    column = pd.Series(times.astype("datetime64[us, UTC]"))
    column[::20] = pd.NaT
    return corpus.assign(timestamp=column)


def test_by_time_the_newest_texts_test_and_groups_move_with_their_newest() -> None:
    corpus = _dated(_corpus(2000))
    splits = _run(corpus, by="time", time_column="created")
    placed = pd.concat([splits.tables[name].assign(side=name) for name in SIDES])
    waiting = splits.tables["excluded"]  # unlabelled rows of a group that tests or validates
    newest = pd.concat([placed, waiting]).groupby("group")["timestamp"].max()
    side = placed.groupby("group")["side"].agg(["nunique", "first"])
    assert side["nunique"].max() == 1
    of = {name: newest[side.index[side["first"] == name]] for name in SIDES}
    assert of["train"].max() < of["validation"].min()
    assert of["validation"].max() < of["test"].min()
    found = splits.report["times"]["test"]
    assert pd.Timestamp(found["from"]) == of["test"].min()
    test = placed[placed["side"] == "test"]
    assert found["n_older_in_a_newer_group"] == int((test["timestamp"] < of["test"].min()).sum()) > 0
    reasons = splits.tables["excluded"]["reason"]
    undated = corpus["timestamp"].isna() & (corpus["source"] == "shop")
    assert (reasons == "it has no time to be split by").sum() == undated.sum()
    labelled = placed.dropna(subset="label")
    assert (labelled["side"] == "test").mean() == pytest.approx(0.25, abs=0.06)


def test_a_class_that_comes_up_after_the_cut_is_set_aside_by_name() -> None:
    corpus = _dated(_corpus(2000))
    corpus.loc[(corpus["timestamp"].rank() > 1850) & (corpus["row"] % 2 == 0), "label"] = "new"
    splits = _run(corpus, by="time", time_column="created")
    assert {label for name in SIDES for label in splits.tables[name]["label"].dropna()} == {"bad", "good"}
    held_out = splits.tables["excluded"]
    n = int((held_out["reason"] == "its class 'new' has no labelled training text").sum())
    assert splits.report["new_classes"] == {"new": n}
    assert n > 15
    without = corpus[corpus["label"] != "new"].reset_index(drop=True)
    assert _run(without, by="time", time_column="created").report["new_classes"] == {}


def test_by_time_two_classes_must_be_older_than_the_cut() -> None:
    corpus = _dated(_corpus(2000))
    corpus["label"] = np.where(corpus["timestamp"].rank() > 1850, "bad", "good")
    with pytest.raises(ValidationError, match="Fewer than two classes") as error:
        _run(corpus, by="time", time_column="created")
    assert "good; only after the cut: bad" in str(error.value)
    assert "split.by: hash" in str(error.value)


def test_no_times_at_all_are_refused() -> None:
    corpus = _dated(_corpus())
    corpus["timestamp"] = corpus["timestamp"].where(corpus["row"] < 0)
    with pytest.raises(ValidationError, match="No text has a time"):
        _run(corpus, by="time", time_column="created")


def test_a_split_by_time_needs_a_time_column() -> None:
    with pytest.raises(ParamsError, match=r"by: time needs task\.time_column"):
        check_params(Params, "split", {**VALUES, "by": "time"})


def test_rates_must_leave_rows_to_train_on() -> None:
    with pytest.raises(ParamsError, match="leaves no train"):
        check_params(Params, "split", {**VALUES, "test_rate": 0.85})


def _workspace(folder: Path, corpus: pd.DataFrame | None = None, **changes: Any) -> None:
    write_table(folder / READS["validated"], _corpus() if corpus is None else corpus, CORPUS)
    write_table(folder / READS["quarantine"], _quarantine(), QUARANTINE)
    (folder / READS["suite"]).parent.mkdir()
    shutil.copy(FILMS / READS["suite"], folder / READS["suite"])
    write_params(Params, "split", {**VALUES, **changes}, folder)


def test_main_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    main()
    paths = sorted(Path(WRITES["splits"]).iterdir())
    assert [path.stem for path in paths] == ["excluded", "test", "train", "transfer", "validation"]
    first = [path.read_bytes() for path in (*paths, Path(WRITES["report"]))]
    main()
    assert first == [path.read_bytes() for path in (*paths, Path(WRITES["report"]))]
    report = json.loads(first[-1])
    assert report["splits"]["train"]["n_rows"] == len(read_table(paths[2], SPLIT))


@pytest.mark.parametrize("changes", [{"by": "time", "time_column": "created"}, {"group_column": "author"}])
def test_main_splits_by_time_or_group_and_the_suite_holds(
    changes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = _authors(_dated(_corpus()))
    _workspace(tmp_path, corpus, **changes)
    write_table(tmp_path / READS["quarantine"], _quarantine(corpus[:0]), QUARANTINE)
    main()
    report = json.loads(Path(WRITES["report"]).read_text())
    assert all(rule["kept"] for rule in report["rules"].values() if rule["severity"] == "stop")
    assert set(read_table(Path(WRITES["splits"]) / "test.parquet", SPLIT)["label"]) == {"bad", "good"}


def test_nothing_is_replaced_when_the_line_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, train_sources=["news"])
    before = Path(WRITES["splits"], "train.parquet")
    before.parent.mkdir()
    before.write_text("as before")
    with pytest.raises(ValidationError):
        main()
    assert before.read_text() == "as before"
    assert not Path(WRITES["report"]).exists()


def _written(folder: Path, corpus: pd.DataFrame) -> Splits:
    """The splits of a corpus, with their tables as files in `folder`."""
    splits = run(_batches(corpus), _batches(_quarantine()), check_params(Params, "split", VALUES))
    for name, table in splits.tables(corpus).items():
        write_table(folder / f"{name}.parquet", table, SPLIT)
    return splits


def _move(folder: Path, rows: pd.DataFrame, side: str) -> None:
    """Add rows to the written table of a side."""
    path = folder / f"{side}.parquet"
    write_table(path, pd.concat([read_table(path, SPLIT), rows]), SPLIT)


def _fault(kind: str, folder: Path) -> None:
    """Damage the written tables in the way a rule is there to find."""
    train = read_table(folder / "train.parquet", SPLIT)
    if kind == "rows_lost":
        write_table(folder / "train.parquet", train[:-1], SPLIT)
    elif kind == "id_leak":
        _move(folder, train[train["label"].notna()][:1], "test")
    elif kind == "unlabelled_test":
        unlabelled = train[train["label"].isna()]
        write_table(folder / "train.parquet", train.drop(unlabelled.index), SPLIT)
        _move(folder, unlabelled, "test")
    else:
        twice = train["group"].duplicated(keep=False) & train["label"].notna()
        moved = train[twice & train["group"].duplicated()][:5]
        write_table(folder / "train.parquet", train.drop(moved.index), SPLIT)
        changed = moved if kind == "group_leak" else moved.assign(group=moved["id"])
        _move(folder, changed, "validation")


SUITE = read_suite(FILMS / READS["suite"], {"labels": ["bad", "good"]})


def test_the_splits_keep_their_suite(tmp_path: Path) -> None:
    rules = check_splits(tmp_path, _written(tmp_path, _corpus()), SUITE)
    assert {name: rule["kept"] for name, rule in rules.items() if rule["severity"] == "stop"} == dict.fromkeys(
        ["schema", "id_leak", "group_leak", "near_duplicate_leak", "rows_lost", "unlabelled_test"], True
    )


@pytest.mark.parametrize("kind", ["rows_lost", "id_leak", "group_leak", "near_duplicate_leak", "unlabelled_test"])
def test_splits_that_leak_or_lose_rows_are_refused(kind: str, tmp_path: Path) -> None:
    splits = _written(tmp_path, _corpus())
    _fault(kind, tmp_path)
    with pytest.raises(ValidationError, match=f"rule .*{kind}"):
        check_splits(tmp_path, splits, SUITE)
