"""The step `validate`: each rule finds what is planted for it, and no row gets lost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow
import pytest

from pipeline_steps.validate import READS, WRITES, Params, main, run
from ratchet.data.cleaning import text_id
from ratchet.data.rules.measures import columns_measure
from ratchet.data.rules.profiles import accept
from ratchet.data.rules.quarantine import Sorted, Sorter
from ratchet.data.rules.suites import Suite, read_suite
from ratchet.data.rules.tallies import Tally
from ratchet.errors import ParamsError, ValidationError
from ratchet.params import check_params, read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import CORPUS, FLAGGED, QUARANTINE, check_table
from tests.support.params import write_params

VALUES: dict[str, Any] = {
    "labels": ["bad", "good"],
    "near_duplicate_threshold": 0.8,
    "personal_data": "flag",
    "regions": ["US"],
}
SUITES = Path(__file__).parents[2] / "data" / "suites"
BOUNDS = {
    "too_few_words": {"min_value": 2},
    "too_many_words": {"max_value": 20},
    "quarantined_rate": {"max_value": 0.4},
    "n_rows": {"min_value": 4},
    "class_rates": {"min_value": 0.2},
}
GOOD = [(f"sound text number {number} of the shop", ["bad", "good"][number % 2]) for number in range(10)]


def _corpus(*extra: tuple[str, str | None]) -> pd.DataFrame:
    texts, labels = zip(*[*GOOD, *extra], strict=True)
    columns = {"id": [text_id(text) for text in texts], "text": texts, "label": labels}
    return pd.DataFrame({"row": range(len(texts)), **columns, "source": "shop"}).astype(
        {"id": "str", "text": "str", "label": "str", "source": "str"}
    )


def _suites(folder: Path, **bounds: dict[str, float]) -> list[Suite]:
    """The repository's own suites with other bounds, as files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("labels", "corpus"):
        values = read_yaml(SUITES / f"{name}.yaml")
        for entry in values["expectations"]:
            entry["kwargs"] |= {**BOUNDS, **bounds}.get(entry["meta"]["rule"], {})
        (folder / f"{name}.yaml").write_text(json.dumps(values))
    return [read_suite(folder / f"{name}.yaml", {"labels": VALUES["labels"]}) for name in ("labels", "corpus")]


class Found(NamedTuple):
    validated: pd.DataFrame
    quarantine: pd.DataFrame
    flagged: pd.DataFrame
    report: dict[str, Any]


def _run(
    corpus: pd.DataFrame,
    suites: list[Suite] | None = None,
    batch_rows: int = 7,
    accepted: dict[str, Tally] | None = None,
    gx: bool = False,
    **changes: Any,
) -> Found:
    """Run on batches of a few rows, and put the pieces together; without Great Expectations, which takes a second."""
    if suites is None:
        with tempfile.TemporaryDirectory() as folder:
            suites = _suites(Path(folder))
    starts = range(0, len(corpus), batch_rows)

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield from (corpus[start : start + batch_rows][list(columns or corpus.columns)] for start in starts)

    schema = pyarrow.Schema.from_pandas(corpus, preserve_index=False)
    params = check_params(Params, "validate", {**VALUES, **changes})
    with pytest.MonkeyPatch.context() as patch:
        if not gx:
            patch.setattr("pipeline_steps.validate.check", lambda *_: [])
            patch.setattr("pipeline_steps.validate.render_data_docs", lambda *_: "")
        result = run(read, columns_measure(schema), suites, accepted, params)
    parts = [result.sorter.sort(frame, start) for frame, start in zip(read([]), starts, strict=True)]
    kept, aside, flagged = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    return Found(kept, aside, flagged, result.report)


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
        "the label is not a class (label ugly); too few words (n_words 0); "
        "characters broken by a wrong decoding (n_damaged 1)"
    ]
    assert result.quarantine[["rule", "value"]].to_numpy().tolist() == [["unknown_label", "ugly"]]


def test_a_missing_label_is_no_fault() -> None:
    result = _run(_corpus(("nobody labelled this", None)))
    assert result.quarantine.empty
    assert result.report["n_unlabelled"] == 1


def test_near_duplicates_are_counted_and_stay() -> None:
    long = "a rather long text about a film that somebody saw last week in town"
    result = _run(_corpus((long + " \ufffd", "bad"), (long, "good"), (long + " !", "bad"), (long, "good")))
    assert result.quarantine["rule"].tolist() == ["encoding_damage", "exact_duplicate"]
    assert result.report["near_duplicates"] == {"threshold": 0.8, "n_pairs": 1, "n_pairs_with_quarantined": 6}


@pytest.mark.parametrize(
    ("extra", "bounds", "parts"),
    [
        ([], {"n_rows": {"min_value": 11}}, ["too few rows", "rule n_rows", "passed: 10", "at least 11"]),
        ([("ok text", "bad")], {"class_rates": {"min_value": 0.46}}, ["class_rates", "good 0.4545", "at least 0.46"]),
        ([("", "bad")], {"quarantined_rate": {"max_value": 0.09}}, ["quarantined_rate", "0.0909091", "empty_text 1"]),
        ([], {"too_few_words": {"min_value": 20}}, ["quarantined_rate", "n_rows", "class_rates", "too_few_words 10"]),
        ([], {"schema": {"value_set": ["row: int64", "shop: string"]}}, ["rule schema", "missing: shop: string"]),
    ],
)
def test_a_corpus_that_breaks_a_rule_stops_the_line(
    extra: list[tuple[str, str | None]], bounds: dict[str, Any], parts: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ValidationError) as error:
        _run(_corpus(*extra), _suites(tmp_path, **bounds))
    for part in (*parts, "what to do"):
        assert part in str(error.value)


def test_a_class_that_does_not_occur_stops_the_line() -> None:
    with pytest.raises(ValidationError, match="class_rates"):
        _run(_corpus(), [read_suite(SUITES / "labels.yaml", {"labels": ["bad", "good", "ugly"]})])


@pytest.mark.parametrize("column", ["id", "text", "source"])
def test_a_missing_value_stops_the_line(column: str) -> None:
    corpus = _corpus()
    corpus.loc[3, column] = None
    with pytest.raises(ValidationError, match=f"missing_{column}"):
        _run(corpus)


def test_a_corpus_without_labels_stops_the_line() -> None:
    with pytest.raises(ValidationError, match="class_rates"):
        _run(_corpus().assign(label=pd.Series([None] * 10, dtype="str")))


LONG = "a rather long text about a film that somebody saw last week in town with"


@pytest.mark.parametrize(
    ("text", "rule", "value"),
    [
        ("write to jo.doe@example.org please", "email_address", "1"),
        ("call (650) 253-0000 or +44 20 8366 1177 now", "phone_number", "2"),
        ("the card 4111 1111 1111 1111 was charged", "card_number", "1"),
        ("send it to GB82 WEST 1234 5698 7654 32 today", "bank_account", "1"),
        ("her number is 536-90-4399 they said", "national_number", "1"),
        ("a film for you, 8/10 from me", "rating_in_text", "1"),
        ("some text<br />in two lines", "markup", "1"),
        ("uma pena que o filme abandone o tom de paródia e a alma", "language", "pt"),
    ],
)
def test_rows_that_break_a_rule_that_warns_stay_and_are_named(text: str, rule: str, value: str) -> None:
    result = _run(_corpus((text, "good")))
    assert result.quarantine.empty
    assert result.flagged.to_dict("list") == {"row": [10], "id": [text_id(text)], "rule": [rule], "value": [value]}
    assert result.report["rules"][rule]["observed"] == result.report["n_flagged"] == 1
    assert text not in json.dumps(result.report)


def test_very_long_texts_and_near_duplicates_are_named(tmp_path: Path) -> None:
    result = _run(
        _corpus((LONG, "good"), (LONG + " us", "good"), ("word " * 1001, "bad")),
        _suites(tmp_path, too_many_words={"max_value": 5000}),
    )
    assert result.flagged[["row", "rule"]].to_numpy().tolist() == [[11, "near_duplicate"], [12, "very_long_text"]]


def test_the_size_of_batches_changes_nothing() -> None:
    corpus = _corpus(("", "bad"), (LONG, "good"), (LONG + " us", "bad"), (LONG, "good"), ("mail a@b.org now", "ugly"))
    small, whole = _run(corpus, batch_rows=1, gx=True), _run(corpus, batch_rows=1000)
    assert small.report == whole.report
    for one, other in zip(small[:3], whole[:3], strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_an_edited_bound_changes_the_verdict(tmp_path: Path) -> None:
    corpus = _corpus(("five words are in this", "good"))
    assert _run(corpus, _suites(tmp_path)).quarantine.empty
    path = tmp_path / "corpus.yaml"
    values = json.loads(path.read_text())
    (entry,) = [entry for entry in values["expectations"] if entry["meta"]["rule"] == "too_few_words"]
    entry["kwargs"]["min_value"] = 6
    path.write_text(json.dumps(values))
    edited = [read_suite(tmp_path / f"{name}.yaml", {"labels": VALUES["labels"]}) for name in ("labels", "corpus")]
    assert _run(corpus, edited).quarantine["rule"].tolist() == ["too_few_words"]


def test_drift_is_measured_against_the_accepted_data() -> None:
    accepted: dict[str, Tally] = {
        "kept_label": {"bad": 9, "good": 1},
        "kept_source": {"shop": 5},
        "kept_length": {40: 10},
    }
    rules = _run(_corpus(), accepted=accepted).report["rules"]
    assert [rules[name]["kept"] for name in ("class_drift", "length_drift", "source_drift")] == [False, False, True]
    assert rules["class_drift"]["observed"] == pytest.approx(0.4)
    unknown = _run(_corpus()).report["rules"]["class_drift"]
    assert (unknown["kept"], unknown["found"]) == (None, "not compared: no data has been accepted yet")


def test_personal_data_can_be_left_alone() -> None:
    result = _run(_corpus(("write to jo@example.org please", "good")), personal_data="off")
    assert result.flagged.empty
    assert result.report["rules"]["email_address"]["found"] == "not measured: switched off in the params"


def _workspace(folder: Path, personal_data: str = "flag", **bounds: dict[str, float]) -> None:
    write_table(folder / READS["corpus"], _corpus(("", "bad"), ("secretword a@b.org here", "good")), CORPUS)
    _suites(folder / "data" / "suites", **bounds)
    (folder / READS["accepted"]).write_text('{"profile": null}')
    write_params(Params, "validate", {**VALUES, "personal_data": personal_data}, folder)


def test_main_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    paths = [
        *(Path(WRITES[name]) for name in ("validated", "quarantine", "report", "flagged", "profile")),
        Path(WRITES["data_docs"], "index.html"),
    ]
    main()
    first = [path.read_bytes() for path in paths]
    main()
    assert first == [path.read_bytes() for path in paths]
    assert len(read_table(paths[0], CORPUS)) == 11
    assert len(read_table(paths[1], QUARANTINE)) == 1
    assert not [path for path in paths[2:] if b"secretword" in path.read_bytes()]
    assert len(read_table(paths[3], FLAGGED)) == 1
    assert json.loads(first[2])["n_out"] == 11


def test_nothing_is_written_or_replaced_when_the_line_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path, n_rows={"min_value": 100})
    Path("reports").mkdir()
    Path(WRITES["report"]).write_text("as before")
    with pytest.raises(ValidationError):
        main()
    files = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    suites = ["data/suites/corpus.yaml", "data/suites/labels.yaml"]
    assert files == [READS["accepted"], READS["corpus"], *suites, "params.yaml", WRITES["report"]]
    assert Path(WRITES["report"]).read_text() == "as before"


def test_a_row_that_is_lost_on_the_way_stops_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    sort = Sorter.sort

    def sort_but_one(self: Sorter, batch: pd.DataFrame, start: int) -> Sorted:
        done = sort(self, batch, start)
        return done._replace(kept=done.kept[1:])

    monkeypatch.setattr(Sorter, "sort", sort_but_one)
    with pytest.raises(ValidationError, match="Rows were lost") as error:
        main()
    assert "10 kept + 1 quarantined of 12 read" in str(error.value)
    assert not [name for name in ("validated", "quarantine", "report") if Path(WRITES[name]).exists()]


def test_accepted_data_is_what_later_data_is_compared_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _workspace(tmp_path)
    main()
    accept(Path(WRITES["profile"]), Path(READS["accepted"]))
    main()
    rules = json.loads(Path(WRITES["report"]).read_text())["rules"]
    drifts = [rules[name] for name in ("class_drift", "length_drift", "source_drift")]
    assert [(rule["kept"], rule["observed"]) for rule in drifts] == [(True, 0.0)] * 3
    Path(READS["accepted"]).write_text('{"profile": 3}')
    with pytest.raises(ParamsError, match="cannot be read"):
        main()
