"""Remarks travel with an answer into the store, change with it, are masked as texts are, and can be taken back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ratchet.data.cleaning_params import Cleaning
from ratchet.files import write_json
from ratchet.labels import remarks
from ratchet.labels.annotations import annotation_table, masked, new_answers
from ratchet.labels.erasure import erase_rows
from ratchet.labels.resolution import conflicts, resolve
from ratchet.labels.store import append, read_store, write_batch
from tests.support.answers import KEY, LABELS, answer


def table(*answers: object) -> pd.DataFrame:
    return annotation_table(answers, "annotator", KEY, LABELS)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    write_json(tmp_path / "labels.json", {"batches": []})
    return tmp_path / "labels.json", tmp_path / "labels"


def test_the_store_holds_what_was_said_and_a_new_remark_is_a_new_answer(place: tuple[Path, Path]) -> None:
    first = replace(answer("t", "anna", "no"), comment="hard")
    later = replace(answer("t", "anna", "yes", 60), change_reason="misread")
    rows = table(first, later)
    batch = write_batch(place[1], rows, remarks.ANNOTATIONS)
    assert batch is not None
    append(place[0], [batch])
    held = read_store(*place).annotations
    assert [note.line.split(" ", 3)[3] for note in remarks.notes(held)] == ['no; "hard"', "no → yes, because: misread"]
    assert len(new_answers(table(later), held)) == 0
    said_more = table(replace(later, comment="on second thought"))
    assert new_answers(said_more, held)["comment"].tolist() == ["on second thought"]


def test_an_answer_without_remarks_keeps_the_id_it_had_before_there_were_any() -> None:
    plain, said = table(answer("t", "anna", "no")), table(replace(answer("t", "anna", "no"), comment="hard"))
    older = plain.drop(columns=["comment", "change_reason", "guidelines"])
    assert len(new_answers(plain, older)) == 0
    assert plain["annotation_id"].tolist() != said["annotation_id"].tolist()
    assert remarks.notes(older) == []
    assert remarks.notes(older, "t")[0].label == "no"


def test_whoever_settles_a_conflict_reads_the_remarks() -> None:
    rows = table(replace(answer("t", "anna", "no"), comment="ironic?"), answer("t", "ben", "yes"))
    decisions = resolve(rows, 2, 1.0)
    (item,) = conflicts(decisions, rows)
    assert item.reason.endswith('; "ironic?"')


def test_personal_data_in_a_remark_is_masked_also_of_a_known_text() -> None:
    said = replace(answer("t", "anna", "no"), comment="ask jo@example.org", change_reason="jo@example.org said so")
    cleaning = Cleaning(mask=True, regions=["US"])
    found = masked(said, cleaning, {said.item.id: said.item})
    assert "jo@example.org" not in found.comment + found.change_reason
    assert found.item == said.item
    assert masked(said, Cleaning(), {}) == said


def test_a_remark_that_quotes_a_forgotten_text_goes_and_the_answer_stays(place: tuple[Path, Path]) -> None:
    rows = table(replace(answer("t", "anna", "no"), comment="like: text of u"), answer("u", "anna", "yes", 5))
    batch = write_batch(place[1], rows, remarks.ANNOTATIONS)
    assert batch is not None
    append(place[0], [batch])
    n_rows = erase_rows(*place, lambda frame: [name == "u" for name in frame["id"]], lambda words: "text of u" in words)
    assert n_rows == 2
    held = read_store(*place).annotations
    assert held["id"].tolist() == ["t"]
    assert held["comment"].isna().all()
