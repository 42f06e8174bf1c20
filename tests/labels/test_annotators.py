"""One person is one vote: spellings, copies of a sheet, the key; and which of their answers counts."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ratchet.errors import TableError
from ratchet.files import read_json, write_json
from ratchet.labels import store
from ratchet.labels.annotations import (
    annotation_table,
    as_classes,
    gone_answers,
    latest_given,
    new_answers,
    same_people,
)
from ratchet.labels.annotators import DELETED, canonical_name, key_fingerprint, person_of_sheet, pseudonym
from ratchet.labels.queues import FileQueue
from ratchet.labels.resolution import conflicts, missing_answers, new_decisions, resolve
from ratchet.tables import ANNOTATIONS, HUMAN_LABELS, empty_table
from tests.support.answers import KEY, LABELS, answer, stored_answers

SPELLINGS = [
    "Zo\u00eb Kim",
    "Zoe\u0308 Kim",
    "  ZO\u00cb\u00a0 KIM ",
    "\uff3ao\u00eb\u3000Kim",
    "zo\u00eb\u200b kim\u2060",
]


def test_a_name_in_any_spelling_is_one_person() -> None:
    assert {pseudonym(name, KEY) for name in SPELLINGS} == {pseudonym("zo\u00eb kim", KEY)}
    assert pseudonym("Zoe Kim", KEY) != pseudonym("Zo\u00eb Kim", KEY)
    votes = annotation_table([answer("t", name, "yes") for name in SPELLINGS], "annotator", KEY, LABELS)
    assert resolve(votes, 2, 0.6).empty


COPIES = ["x (1)", "x(2)", "x (1) (1)", "x - Copy", "x - Copy (2)", "x copy", "x copy 3", "x - Kopie", "x (copy)", "x~"]


@pytest.mark.parametrize("name", [*COPIES, "Copy of x", "x - copia", "x - Copie", "x_copy"])
def test_a_copy_of_a_sheet_speaks_for_the_same_person(name: str) -> None:
    assert person_of_sheet(name) == "x"


@pytest.mark.parametrize("name", ["anna", "person 1", "person 2", "photocopy", "(1)", "ben-2", "queue-0123456789ab"])
def test_other_names_stay(name: str) -> None:
    assert person_of_sheet(name) == name


def sheet(folder: Path, name: str, labels: dict[str, str], saved: int) -> None:
    """A sheet without names and times, saved at that second."""
    path = folder / name
    path.write_text("id,text,label\n" + "".join(f"{key},text {key},{value}\n" for key, value in labels.items()))
    os.utime(path, (saved, saved))


def test_one_sheet_saved_twice_is_one_voice_and_the_later_one_counts(tmp_path: Path) -> None:
    sheet(tmp_path, "x.csv", {"a": "yes", "b": "yes"}, 200)
    sheet(tmp_path, "x (1).csv", {"a": "no", "b": "yes"}, 100)
    votes = annotation_table(FileQueue(tmp_path).answers(), "annotator", KEY, LABELS)
    assert votes["annotator"].nunique() == 1
    assert resolve(votes, 2, 0.6).empty
    assert set(resolve(votes, 1, 0.6)["label"]) == {"yes"}
    sheet(tmp_path, "x (1).csv", {"a": "no", "b": "yes"}, 300)
    votes = annotation_table(FileQueue(tmp_path).answers(), "annotator", KEY, LABELS)
    assert sorted(resolve(votes, 1, 0.6)["label"]) == ["no", "yes"]


def pulled(said: list[list[str]]) -> pd.DataFrame:
    """The store after pulls in each of which one person's sheet, without times, holds these answers to a text."""
    held = empty_table(ANNOTATIONS)
    for labels in said:
        given = [replace(answer("t", "anna", label), annotated_at="") for label in labels]
        fetched = annotation_table(latest_given(given), "annotator", KEY, LABELS)
        held = pd.concat([part for part in (held, new_answers(fetched, held)) if len(part)], ignore_index=True)
    return held


@pytest.mark.parametrize(
    ("said", "n_rows", "last"),
    [
        ([["yes"], ["no"], ["yes"]], 3, "yes"),
        ([["yes"], ["no"], ["no"], ["yes"], ["no"]], 4, "no"),
        ([["yes"], ["yes"], ["yes"]], 1, "yes"),
        ([["yes", "no"], ["yes", "no"]], 1, "no"),
        ([["yes"], [""], ["yes"]], 3, "yes"),
    ],
)
def test_the_latest_answer_counts_also_when_it_goes_back(said: list[list[str]], n_rows: int, last: str) -> None:
    held = pulled(said)
    assert len(held) == n_rows == held["annotation_id"].nunique()
    assert resolve(held, 1, 0.6)["label"].tolist() == [last]


def test_a_deleted_or_renamed_account_keeps_its_vote() -> None:
    """What was pulled as somebody's stays theirs; whoever was deleted before is one person."""
    place = "label-studio:Ratchet"
    before = [replace(answer("t", name, "yes", second), origin=place) for second, name in enumerate(["u7", "u8"])]
    held = annotation_table(before, "annotator", KEY, LABELS)
    now = [replace(before[0], annotator=DELETED), replace(before[1], annotator="ben@example.org")]
    fetched = same_people(annotation_table(now, "annotator", KEY, LABELS), held)
    assert fetched["annotator"].tolist() == held["annotator"].tolist()
    assert new_answers(fetched, held).empty
    unseen = [replace(answer("u", DELETED, "yes", second), origin=place) for second in range(2)]
    assert resolve(annotation_table(unseen, "annotator", KEY, LABELS), 2, 0.6).empty


def test_two_people_in_one_sheet_with_the_same_time_stay_two() -> None:
    held = annotation_table([answer("t", "anna", "yes")], "annotator", KEY, LABELS)
    both = annotation_table([answer("t", "anna", "yes"), answer("t", "ben", "yes")], "annotator", KEY, LABELS)
    assert same_people(both, held)["annotator"].nunique() == 2


def test_an_answer_that_is_gone_is_counted_by_its_place() -> None:
    held = annotation_table([answer("t", "anna", "yes"), answer("u", "anna", "no")], "annotator", KEY, LABELS)
    now = annotation_table([answer("u", "anna", "no")], "annotator", KEY, LABELS)
    assert gone_answers(now, held, ["t"]) == {"t": 1}
    assert gone_answers(now, held, ["elsewhere"]) == {}
    assert gone_answers(held, held, ["t"]) == {}


def test_a_class_is_found_by_any_spelling_and_what_names_none_is_set_aside() -> None:
    said = ["yes", " YES ", "\uff59es", "maybe", "Skip", "unusable", ""]
    found = as_classes([answer("t", "anna", label) for label in said], LABELS)
    assert [given.label for given in found.answers] == ["yes", "yes", "yes", "", "", ""]
    assert [given.label for given in found.unknown] == ["maybe"]
    assert [given.label for given in as_classes([answer("t", "anna", "skip")], ["skip", "keep"]).answers] == ["skip"]
    both = as_classes([answer("t", "anna", "YES")], ["yes", "Yes"])
    assert not both.answers


SKIPS = {
    "everybody skipped": (["", ""], ("", "unusable", "unanimous")),
    "most skipped": (["", "", "yes"], ("", "unusable", "majority")),
    "most answered": (["yes", "yes", ""], ("yes", "resolved", "majority")),
    "one of two skipped": (["yes", ""], ("", "escalated", "conflict")),
}


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_is_an_answer(name: str) -> None:
    votes, expected = SKIPS[name]
    table = stored_answers([("t", f"person {i}", vote) for i, vote in enumerate(votes)])
    decided = resolve(table, len(votes), 0.6)
    (row,) = decided.fillna({"label": ""}).itertuples(index=False)
    assert (row.label, row.state, row.rule) == expected
    assert new_decisions(decided, decided).empty
    assert missing_answers(["t"], table, decided) == "0 texts wait for answers"


def test_a_skip_in_conflict_is_shown_to_the_adjudicator_whose_skip_closes_the_text() -> None:
    table = stored_answers([("t", "anna", "yes"), ("t", "ben", "")])
    (item,) = conflicts(resolve(table, 2, 0.6), table)
    assert item.reason == "in conflict: 1 \u00d7 (skipped), 1 \u00d7 yes"
    chief = stored_answers([("t", "chief", "")], role="adjudicator")
    (row,) = resolve(pd.concat([table, chief]), 2, 0.6).itertuples(index=False)
    assert (row.state, row.rule) == ("unusable", "adjudicated")


def test_another_pseudonym_key_is_refused_and_the_pointer_holds_no_key(tmp_path: Path) -> None:
    pointer = tmp_path / "labels.json"
    write_json(pointer, {"batches": []})
    store.check_key(pointer, key_fingerprint("any"))
    batch = store.write_batch(tmp_path / "labels", resolve(stored_answers([("t", "a", "yes")]), 1, 0.6), HUMAN_LABELS)
    assert batch is not None
    store.append(pointer, [batch], key_fingerprint(KEY))
    store.append(pointer, [batch], key_fingerprint("another"))
    store.check_key(pointer, key_fingerprint(KEY))
    assert KEY not in pointer.read_text()
    assert read_json(pointer)["key_fingerprint"] == key_fingerprint(KEY)
    for other in ("another", ""):
        with pytest.raises(TableError, match="second vote"):
            store.check_key(pointer, key_fingerprint(other))


def test_canonical_names_are_stable() -> None:
    assert all(canonical_name(canonical_name(name)) == canonical_name(name) for name in SPELLINGS)
