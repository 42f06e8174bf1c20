"""The step `validate`: each rule finds what is planted for it, and no row gets lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow
import pytest

from pipeline_steps.validate import READS, WRITES, Params, main, run
from ratchet.data.cleaning import text_id
from ratchet.data.rules.measures import columns_of
from ratchet.data.rules.profiles import Counts, accept
from ratchet.data.rules.proposals import propose_suites
from ratchet.data.rules.quarantine import Sorted, Sorter
from ratchet.data.rules.sample_profile import profile_sample
from ratchet.data.rules.suite_files import suite_json
from ratchet.data.rules.suites import Suite, read_suite
from ratchet.errors import ParamsError, ValidationError
from ratchet.files import read_json, write_json
from ratchet.params import check_params
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
BOUNDS: dict[str, dict[str, Any]] = {
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


def _suites(folder: Path, **bounds: dict[str, Any]) -> list[Suite]:
    """The repository's own suites with other bounds, as files in `folder`."""
    for name in ("labels", "corpus"):
        values = read_json(SUITES / f"{name}.json")
        for entry in values["expectations"]:
            entry["kwargs"] |= {**BOUNDS, **bounds}.get(entry["meta"]["rule"], {})
        write_json(folder / f"{name}.json", values)
    return [read_suite(folder / f"{name}.json", {"labels": VALUES["labels"]}) for name in ("labels", "corpus")]


def _with_bounds(**bounds: dict[str, Any]) -> list[Suite]:
    """The same, without files."""
    suites = [read_suite(SUITES / f"{name}.json", {"labels": VALUES["labels"]}) for name in ("labels", "corpus")]
    changed = {**BOUNDS, **bounds}
    return [
        replace(
            suite,
            rules=tuple(replace(rule, kwargs=rule.kwargs | changed.get(rule.name, {})) for rule in suite.rules),
        )
        for suite in suites
    ]


class Found(NamedTuple):
    validated: pd.DataFrame
    quarantine: pd.DataFrame
    flagged: pd.DataFrame
    report: dict[str, Any]
    page: str


def _run(
    corpus: pd.DataFrame,
    suites: list[Suite] | None = None,
    batch_rows: int = 7,
    accepted: dict[str, Counts] | None = None,
    **changes: Any,
) -> Found:
    """Run on batches of a few rows, and put the pieces together."""
    starts = range(0, len(corpus), batch_rows)

    def read(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        yield from (corpus[start : start + batch_rows][list(columns or corpus.columns)] for start in starts)

    schema = pyarrow.Schema.from_pandas(corpus, preserve_index=False)
    params = check_params(Params, "validate", {**VALUES, **changes})
    result = run(read, columns_of(schema), suites or _with_bounds(), accepted, params)
    parts = [result.sorter.sort(frame, start) for frame, start in zip(read([]), starts, strict=True)]
    kept, aside, flagged = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    return Found(kept, aside, flagged, result.report, result.page)


FAULTY: list[tuple[str, str | None, str]] = [
    ("", "bad", "empty_text"),
    ("... word !", "bad", "too_few_words"),
    ("word " * 21, "bad", "too_many_words"),
    ("some fine text", "ugly", "unknown_label"),
    ("some \ufffd text", "good", "encoding_damage"),
    ("a clichÃ© of a film", "good", "encoding_damage"),
    ("itâ€™s a film", "good", "encoding_damage"),
    ("that¡¦s a film", "good", "encoding_damage"),
    ("a new text", "bad", ""),
    ("A NEW  text", "bad", "exact_duplicate"),
    ("a new text", "bad", "exact_duplicate"),
    ("one more text", "bad", "conflicting_labels"),
    ("One more text", "good", "conflicting_labels"),
    ("one more text", "bad", "conflicting_labels"),
    ("très élégant château à Noël", "good", ""),
    ("São João, irmã»", "good", ""),
    ("¡Qué película! ¿Sí?", "good", ""),
    ("über 5° £3½", "good", ""),
    ("nobody labelled this", None, ""),
    ("\ufffd", "Ugly", "unknown_label"),
]
"""Text, label, and the first rule of quarantine that the row breaks; empty: it stays."""


@cache
def _faulty() -> tuple[pd.DataFrame, Found]:
    corpus = _corpus(*((text, label) for text, label, _ in FAULTY))
    return corpus, _run(corpus, _with_bounds(quarantined_rate={"max_value": 0.9}))


@pytest.mark.parametrize("at", range(len(FAULTY)))
def test_rows_that_break_a_rule_are_quarantined(at: int) -> None:
    _, result = _faulty()
    rules = dict(zip(result.quarantine["row"], result.quarantine["rule"], strict=True))
    assert rules.get(len(GOOD) + at, "") == FAULTY[at][2]


def test_no_row_is_lost_and_the_report_counts_them() -> None:
    corpus, result = _faulty()
    assert sorted([*result.validated["row"], *result.quarantine["row"]]) == corpus["row"].tolist()
    assert set(range(len(GOOD))) <= set(result.validated["row"])
    check_table(result.quarantine, QUARANTINE, "test")
    rules = [rule for _, _, rule in FAULTY if rule]
    report = result.report
    assert report["quarantined_by_first_rule"] == {rule: rules.count(rule) for rule in rules}
    assert report["rules"]["conflicting_labels"]["observed"] == 3
    assert report["rules"]["empty_text"]["found"] == "1 of 30 break it (3.33 %)"
    assert (report["n_in"], report["n_quarantined"], report["n_unlabelled"]) == (len(corpus), len(rules), 1)


def test_of_twins_the_labelled_row_stays() -> None:
    twins = [("a new text", None), ("A NEW text", None), ("a new  text", "good"), ("a new text", "good")]
    result = _run(_corpus(*twins), _with_bounds(quarantined_rate={"max_value": 0.9}))
    assert result.validated["row"].tolist() == [*range(10), 12]
    assert result.validated["label"].tolist()[-1] == "good"
    aside = result.quarantine[["row", "rule", "value"]].to_numpy().tolist()
    assert aside == [[row, "exact_duplicate", value] for row, value in ((10, "2"), (11, "3"), (13, "1"))]


def test_every_broken_rule_is_named_in_the_reason() -> None:
    _, result = _faulty()
    last = result.quarantine.iloc[-1]
    assert last["reason"] == (
        "the label is not a class (label Ugly); too few words (n_words 0); "
        "characters broken by a wrong decoding (n_damaged 1)"
    )
    assert (last["rule"], last["value"]) == ("unknown_label", "Ugly")


def test_a_thousand_sources_of_one_row_each_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further names than are counted one by one are counted together."""
    monkeypatch.setattr("ratchet.data.rules.profiles.MAX_NAMES", 600)
    corpus = _corpus(*((f"text of sender {number} with a few words", "good") for number in range(990)))
    corpus = corpus.assign(source=pd.Series([f"sender {number}" for number in range(1000)], dtype="str"))
    accepted: dict[str, Counts] = {"kept_label": {"bad": 5, "good": 995}, "kept_length": {12: 1000}}
    accepted["kept_source"] = dict.fromkeys(corpus["source"][:600], 1) | {"…": 400}
    result = _run(corpus, _with_bounds(class_rates={"min_value": 0}), batch_rows=300, accepted=accepted)
    assert result.report["rules"]["source_drift"]["observed"] == pytest.approx(0, abs=1e-9)


def test_near_duplicates_are_counted_and_stay() -> None:
    long = "a rather long text about a film that somebody saw last week in town"
    result = _run(_corpus((long + " \ufffd", "bad"), (long, "good"), (long + " !", "bad"), (long, "good")))
    assert result.quarantine["rule"].tolist() == ["encoding_damage", "exact_duplicate"]
    assert result.report["near_duplicates"] == {"threshold": 0.8, "n_pairs": 1, "n_pairs_with_quarantined": 6}


@pytest.mark.parametrize(
    ("extra", "bounds", "parts"),
    [
        ([], {"n_rows": {"min_value": 11}}, ["too few rows", "rule n_rows", "n_passed: 10", "at least 11"]),
        (
            [("ok text", "bad")],
            {"class_rates": {"min_value": 0.46}},
            ["class_rates", "0.454545 (good)", "at least 0.46"],
        ),
        ([("", "bad")], {"quarantined_rate": {"max_value": 0.09}}, ["quarantined_rate", "0.0909091", "empty_text 1"]),
        ([], {"too_few_words": {"min_value": 20}}, ["quarantined_rate", "n_rows", "class_rates", "too_few_words 10"]),
        ([], {"schema": {"value_set": ["row: int64", "shop: string"]}}, ["rule schema", "missing: shop: string"]),
    ],
)
def test_a_corpus_that_breaks_a_rule_stops_the_line(
    extra: list[tuple[str, str | None]], bounds: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(ValidationError) as error:
        _run(_corpus(*extra), _with_bounds(**bounds))
    for part in (*parts, "what to do"):
        assert part in str(error.value)


def test_a_class_that_does_not_occur_stops_the_line() -> None:
    with pytest.raises(ValidationError, match=r"class_rates(?s:.)*0 \(ugly\)"):
        _run(_corpus(), labels=["bad", "good", "ugly"])


def test_a_missing_value_stops_the_line() -> None:
    corpus = _corpus()
    corpus.loc[3, ["id", "text", "source"]] = None
    with pytest.raises(ValidationError, match="missing_id, missing_text, missing_source"):
        _run(corpus)


def test_suites_proposed_from_a_sample_do_not_stop_its_corpus(tmp_path: Path) -> None:
    """Of copies, two-word texts, a class of 0.3 %, other languages, broken characters and labels in conflict."""
    rng = np.random.default_rng(3)
    words = [f"word{number}" for number in range(3000)]
    texts = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(100)] * 5
    texts += [f"uma pena que o comboio {word} chegue sempre tarde itâ€™s" for word in words[:150]]
    labels = rng.choice(["bad", "good"], len(texts)).tolist()
    labels[-2:] = ["rare", "rare"]
    corpus = _corpus(*zip(texts, labels, strict=True))
    classes = ["bad", "good", "rare"]
    profile = profile_sample(corpus.sample(200, random_state=0), classes, VALUES["near_duplicate_threshold"], ["US"])
    suites = propose_suites(profile, classes, ["en"], len(corpus))
    for name in ("labels", "corpus"):
        (tmp_path / f"{name}.json").write_text(suite_json(suites[name]), encoding="utf-8")
    read = [read_suite(tmp_path / f"{name}.json", {"labels": classes}) for name in ("labels", "corpus")]
    report = _run(corpus, read, batch_rows=1000, labels=classes).report
    broken = {name for name, rule in report["rules"].items() if rule["kept"] is False}
    assert {"conflicting_labels", "language", "encoding_damage", "exact_duplicate"} <= broken
    assert report["rules"]["encoding_damage"]["severity"] == "warn"
    assert "sampled rows" in report["rules"]["quarantined_texts"]["learnt_from"]


def test_a_corpus_without_labels_stops_the_line() -> None:
    with pytest.raises(ValidationError, match="class_rates"):
        _run(_corpus().assign(label=pd.Series([None] * 10, dtype="str")))


LONG = "a rather long text about a film that somebody saw last week in town with"


FLAGGED_TEXTS = [
    ("write to jo.doe@example.org please", "email_address", "1"),
    ("call (650) 253-0000 or +44 20 8366 1177 now", "phone_number", "2"),
    ("the card 4111 1111 1111 1111 was charged", "card_number", "1"),
    ("send it to GB82 WEST 1234 5698 7654 32 today", "bank_account", "1"),
    ("her number is 536-90-4399 they said", "national_number", "1"),
    ("a film for you, 8/10 from me", "rating_in_text", "1"),
    ("some text<br />in two lines", "markup", "1"),
    ("uma pena que o filme abandone o tom de paródia e a alma", "language", "pt"),
]
"""Text, the rule it breaks, and the value."""


def test_rows_that_break_a_rule_that_warns_stay_and_are_named() -> None:
    result = _run(_corpus(*((text, "good") for text, _, _ in FLAGGED_TEXTS)))
    assert result.quarantine.empty
    texts, rules, values = zip(*FLAGGED_TEXTS, strict=True)
    assert result.flagged.to_dict("list") == {
        "row": [len(GOOD) + at for at in range(len(texts))],
        "id": [text_id(text) for text in texts],
        "rule": [*rules],
        "value": [*values],
    }
    assert {result.report["rules"][rule]["observed"] for rule in rules} == {1}
    assert result.report["n_flagged"] == len(texts)
    for written in (json.dumps(result.report), result.page):
        assert not [text for text in texts if text in written]


def test_very_long_texts_and_near_duplicates_are_named() -> None:
    result = _run(
        _corpus((LONG, "good"), (LONG + " us", "good"), ("word " * 1001, "bad")),
        _with_bounds(too_many_words={"max_value": 5000}),
    )
    assert result.flagged[["row", "rule"]].to_numpy().tolist() == [[11, "near_duplicate"], [12, "very_long_text"]]


def test_the_size_of_batches_changes_nothing() -> None:
    corpus = _corpus(("", "bad"), (LONG, "good"), (LONG + " us", "bad"), (LONG, "good"), ("mail a@b.org now", "ugly"))
    whole = _run(corpus, batch_rows=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline_steps.validate.BATCH_ROWS", 4)
        small = _run(corpus, batch_rows=1)
    assert (small.report, small.page) == (whole.report, whole.page)
    for one, other in zip(small[:3], whole[:3], strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_an_edited_bound_changes_the_verdict(tmp_path: Path) -> None:
    corpus = _corpus(("five words are in this", "good"))
    _suites(tmp_path)
    path = tmp_path / "corpus.json"
    values = read_json(path)
    (entry,) = [entry for entry in values["expectations"] if entry["meta"]["rule"] == "too_few_words"]
    entry["kwargs"]["min_value"] = 6
    write_json(path, values)
    edited = [read_suite(tmp_path / f"{name}.json", {"labels": VALUES["labels"]}) for name in ("labels", "corpus")]
    assert _run(corpus, edited).quarantine["rule"].tolist() == ["too_few_words"]


def test_drift_is_measured_against_the_accepted_data() -> None:
    accepted: dict[str, Counts] = {
        "kept_label": {"bad": 9, "good": 1},
        "kept_source": {"shop": 5},
        "kept_length": {40: 10},
    }
    rules = _run(_corpus(), accepted=accepted).report["rules"]
    assert [rules[name]["kept"] for name in ("class_drift", "length_drift", "source_drift")] == [False, False, True]
    assert rules["class_drift"]["observed"] == pytest.approx(0.4)
    unknown = _run(_corpus()).report["rules"]["class_drift"]
    assert (unknown["kept"], unknown["found"]) == (None, "not compared: no data has been accepted yet")


def test_texts_of_any_script_have_words_enough() -> None:
    numbers = "零一二三四五六七八九"
    chinese = [
        (f"这部电影{numbers[n // 100]}非常{numbers[n // 10 % 10]}好看{numbers[n % 10]}", VALUES["labels"][n % 2])
        for n in range(600)
    ]
    others = [("यह की किताब", "good"), ("यह का किताब", "bad"), ("هذا الفيلم رائع", "good"), ("หนังดีที่สุด", "bad")]
    result = _run(_corpus(*chinese, *others), _with_bounds(too_few_words={"min_value": 3}), batch_rows=200)
    assert result.quarantine.empty
    flagged = result.flagged[result.flagged["rule"] == "near_duplicate"]["id"].tolist()
    assert text_id("यह का किताब") not in flagged  # another vowel sign: another word


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
    suites = ["data/suites/corpus.json", "data/suites/labels.json"]
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
