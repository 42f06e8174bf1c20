"""The step `validate`: each rule finds what is planted for it, and no row gets lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps.validate import READS, WRITES, Params, Validated, main, run
from ratchet.data.cleaning import text_id
from ratchet.data.expectations import Rule, check
from ratchet.errors import ParamsError, ValidationError
from ratchet.params import check_params
from ratchet.tables import CORPUS, QUARANTINE, check_table, read_table, write_table

VALUES: dict[str, Any] = {
    "labels": ["bad", "good"], "min_words": 2, "max_words": 20, "near_duplicate_threshold": 0.8,
    "max_quarantined_rate": 0.4, "min_rows": 4, "min_class_rate": 0.2,
}  # fmt: skip
GOOD = [(f"sound text number {number} of the shop", ["bad", "good"][number % 2]) for number in range(10)]


def _corpus(*extra: tuple[str, str | None]) -> pd.DataFrame:
    texts, labels = zip(*[*GOOD, *extra], strict=True)
    columns = {"id": [text_id(text) for text in texts], "text": texts, "label": labels}
    return pd.DataFrame({"row": range(len(texts)), **columns, "source": "shop"}).astype(
        {"id": "str", "text": "str", "label": "str", "source": "str"}
    )


def _run(corpus: pd.DataFrame, **changes: Any) -> Validated:
    return run(corpus, check_params(Params, "validate", {**VALUES, **changes}))


@pytest.mark.parametrize(
    ("extra", "rules"),
    [
        ([("", "bad")], ["empty_text"]),
        ([("... word !", "bad")], ["too_few_words"]),
        ([("word " * 21, "bad")], ["too_many_words"]),
        ([("some fine text", "ugly")], ["unknown_label"]),
        ([("some \ufffd text", "good")], ["encoding_damage"]),
        ([("a clichÃ© of a film", "good")], ["encoding_damage"]),
        ([("itâ€™s a film", "good")], ["encoding_damage"]),
        ([("that¡¦s a film", "good")], ["encoding_damage"]),
        ([("a new text", "bad"), ("A NEW  text", "bad"), ("a new text", "bad")], ["exact_duplicate"] * 2),
        ([("a new text", "bad"), ("A new text", "good"), ("a new text", "bad")], ["conflicting_labels"] * 3),
        ([("a new text", None), ("A new text", "good")], ["exact_duplicate"]),
    ],
)
def test_rows_that_break_a_rule_are_quarantined(extra: list[tuple[str, str | None]], rules: list[str]) -> None:
    corpus = _corpus(*extra)
    result = _run(corpus)
    assert result.quarantine["rule"].tolist() == rules
    rows = [*result.validated["row"], *result.quarantine["row"]]
    assert sorted(rows) == corpus["row"].tolist()
    assert set(range(10)) <= set(result.validated["row"])
    check_table(result.quarantine, QUARANTINE, "test")
    assert result.report["quarantined_by_first_rule"] == {rules[0]: len(rules)}
    assert result.report["rules"][rules[0]]["observed"] == len(rules)
    assert (result.report["n_in"], result.report["n_quarantined"]) == (len(corpus), len(rules))


@pytest.mark.parametrize(
    "text", ["très élégant château à Noël", "São João, irmã»", "¡Qué película! ¿Sí?", "über 5° £3½"]
)
def test_accents_are_no_damage(text: str) -> None:
    assert _run(_corpus((text, "good"))).quarantine.empty


def test_every_broken_rule_is_named_in_the_reason() -> None:
    result = _run(_corpus(("\ufffd", "ugly")))
    assert result.quarantine["reason"].tolist() == [
        "too few words (n_words 0); the label is not a class (label ugly); "
        "characters broken by a wrong decoding (n_damaged 1)"
    ]


def test_a_missing_label_is_no_fault() -> None:
    result = _run(_corpus(("nobody labelled this", None)), min_class_rate=0.5)
    assert result.quarantine.empty
    assert result.report["n_unlabelled"] == 1


def test_near_duplicates_are_counted_and_stay() -> None:
    long = "a rather long text about a film that somebody saw last week in town"
    result = _run(_corpus((long + " \ufffd", "bad"), (long, "good"), (long + " !", "bad"), (long, "good")))
    assert result.quarantine["rule"].tolist() == ["encoding_damage", "exact_duplicate"]
    assert result.report["near_duplicates"] == {"threshold": 0.8, "n_pairs": 1, "n_pairs_with_quarantined": 6}


@pytest.mark.parametrize(
    ("extra", "changes", "parts"),
    [
        ([], {"min_rows": 11}, ["too few rows", "rule n_rows", "rows that pass: 10", "at least 11"]),
        ([], {"labels": ["bad", "good", "ugly"]}, ["class_rate_ugly", "rate of 'ugly' among labelled rows: 0", "0.2"]),
        ([("fine text", "bad")], {"min_class_rate": 0.46}, ["class_rate_good", "0.454545", "at least 0.46"]),
        ([("", "bad")], {"max_quarantined_rate": 0.09}, ["quarantined_rate", "0.0909091", "empty_text 1"]),
        ([], {"min_words": 20}, ["quarantined_rate", "n_rows", "class_rate_bad", "too_few_words 10"]),
    ],
)
def test_a_corpus_that_breaks_a_rule_stops_the_line(
    extra: list[tuple[str, str | None]], changes: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ValidationError) as error:
        _run(_corpus(*extra), **changes)
    for part in (*parts, "what to do"):
        assert part in str(error.value)


@pytest.mark.parametrize("column", ["id", "text", "source"])
def test_a_missing_value_stops_the_line(column: str) -> None:
    corpus = _corpus()
    corpus.loc[3, column] = None
    with pytest.raises(ValidationError, match=f"missing_{column}"):
        _run(corpus)


def test_a_corpus_without_labels_stops_the_line() -> None:
    with pytest.raises(ValidationError, match="class_rate_bad, class_rate_good"):
        _run(_corpus().assign(label=pd.Series([None] * 10, dtype="str")))


def test_a_rule_that_cannot_be_checked_is_not_kept() -> None:
    rule = Rule("length", "quarantine", "between", "not_there", "too short", low=1)
    with pytest.raises(ValidationError, match="'length' could not be checked"):
        check(pd.DataFrame({"n_words": [1]}), [rule], "rows")


def test_outcomes_agree_with_numpy_on_random_columns() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"n": rng.integers(0, 50, 3000), "x": np.where(rng.random(3000) < 0.3, np.nan, rng.random(3000))}
    )
    rules = [
        Rule("between", "quarantine", "between", "n", "", low=5, high=40),
        Rule("mean", "stop", "mean", "x", "", low=0.49),
        Rule("sum", "stop", "sum", "n", "", low=10**6),
        Rule("missing", "stop", "not_null", "x", ""),
    ]
    between, mean, total, missing = check(frame, rules, "random")[0]
    assert between.rows.tolist() == np.flatnonzero((frame["n"] < 5) | (frame["n"] > 40)).tolist()
    assert mean.observed == pytest.approx(np.nanmean(frame["x"]))
    assert mean.success == (mean.observed >= 0.49)
    assert (total.observed, total.success) == (frame["n"].sum(), False)
    assert (missing.observed, missing.success) == (frame["x"].isna().sum(), False)


def test_bounds_must_be_in_order() -> None:
    with pytest.raises(ParamsError, match="min_words 30 is above max_words 20"):
        check_params(Params, "validate", {**VALUES, "min_words": 30})


def _workspace(folder: Path, **changes: Any) -> None:
    write_table(folder / READS["corpus"], _corpus(("", "bad"), ("secretword text here", "good")), CORPUS)
    (folder / "params.yaml").write_text(json.dumps({"validate": {**VALUES, **changes}}))


def test_main_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    paths = [
        *(Path(WRITES[name]) for name in ("validated", "quarantine", "report")),
        Path(WRITES["data_docs"], "index.html"),
    ]
    main()
    first = [path.read_bytes() for path in paths]
    main()
    assert first == [path.read_bytes() for path in paths]
    assert len(read_table(paths[0], CORPUS)) == 11
    assert len(read_table(paths[1], QUARANTINE)) == 1
    assert b"secretword" not in first[3]
    assert json.loads(first[2])["n_out"] == 11


def test_nothing_is_written_or_replaced_when_the_line_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, min_rows=100)
    Path("reports").mkdir()
    Path(WRITES["report"]).write_text("as before")
    with pytest.raises(ValidationError):
        main()
    files = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    assert files == ["data/corpus.parquet", "params.yaml", "reports/validate.json"]
    assert Path(WRITES["report"]).read_text() == "as before"
