"""Comments and reasons of changes: from sheet and server into the store, to the adjudicator, and printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flows.labelling import collecting
from flows.labelling import steps as labelling
from ratchet.commands import labels as commands
from ratchet.data.cleaning_params import Cleaning
from ratchet.labels import store
from ratchet.labels.annotations import Answer, Item, annotation_table, as_classes, masked, new_answers
from ratchet.labels.erasure import erase_rows
from ratchet.labels.label_studio_interface import REMARKS, updated_config
from ratchet.labels.queues import FileQueue, read_answers
from ratchet.labels.remarks import ANNOTATIONS, WORDS, comments, notes
from ratchet.labels.resolution import conflicts, new_decisions, resolve
from ratchet.tables import HUMAN_LABELS, empty_table
from tests.labels.test_label_studio import ITEMS, Server, given, queue
from tests.labels.test_three_ways import IDS, TEXTS, root
from tests.support.answers import KEY, LABELS, answer, stored_answers

__all__ = ["root"]
SAID = "=2+2, or sarcasm?"


def test_what_a_person_writes_into_the_server_comes_back_and_old_projects_get_the_fields() -> None:
    server = Server()
    queue(server).send(ITEMS[:2])
    assert all(f'name="{name}"' in server.projects[0]["label_config"] for name in REMARKS)
    fields = [
        {"from_name": "comment", "type": "textarea", "value": {"text": ["two\nlines", "and more"]}},
        {"from_name": "change_reason", "type": "textarea", "value": {"text": "misread"}},
    ]
    label = {"from_name": "label", "type": "choices", "value": {"choices": ["positive"]}}
    server.tasks[0]["annotations"] = [given(None, result=[*fields, label])]
    server.tasks[1]["annotations"] = [given(None, result=fields[:1], was_cancelled=True)]
    first, skip = queue(server).answers()
    assert (first.label, first.comment, first.change_reason) == ("positive", "two lines and more", "misread")
    assert (skip.label, skip.comment) == ("", "two lines and more")
    choices = '<Choices name="label" toName="text"><Choice value="a"/></Choices>'
    old = f'<View><Text name="text" value="$text"/>{choices}</View>'
    longer = updated_config(old, ["a"], {})
    assert longer.count("<TextArea") == len(REMARKS)
    assert updated_config(longer, ["a"], {}) == ""


def test_remarks_of_a_sheet_reach_the_store_once_and_again_when_they_change(root: Path) -> None:
    folder = FileQueue(root / labelling.QUEUE)
    folder.send([Item(key, text, "s", guidelines="v1") for key, text in zip(IDS[:2], TEXTS[:2], strict=True)])
    conflicting = FileQueue(root / labelling.CONFLICTS)

    def pull(rows: list[dict[str, str]]) -> str:
        pd.DataFrame(rows).to_csv(root / labelling.QUEUE / "anna.csv", index=False, sep=";", encoding="utf-16")
        return collecting.add_to_store(root, folder, collecting.fetch(root, folder, conflicting, ""), 1, 0.6)

    rows = [{"id": IDS[0], "label": "positive", "comment": f"'{SAID}"}, {"id": IDS[1], "comment": "no sentence"}]
    assert pull(rows).startswith("2 new answers, 2 new decisions")
    assert pull(rows).startswith("0 new answers")
    rows[0] |= {"label": "negative", "change_reason": "read it again"}
    assert pull(rows).startswith("1 new answers, 1 new decisions")
    rows[0] |= {"comment": "irony"}
    assert pull(rows).startswith("1 new answers, 0 new decisions")
    held = store.read_store(root / labelling.POINTER, root / labelling.STORE)
    assert held.annotations["comment"].tolist() == [SAID, "no sentence", SAID, "irony"]
    assert sorted(held.decisions["state"]) == ["resolved", "resolved", "unusable"]
    assert [(note.was, note.label, note.change_reason) for note in notes(held.annotations, IDS[0])] == [
        ("", "positive", ""),
        ("positive", "negative", "read it again"),
        ("", "negative", "read it again"),
    ]


def test_the_command_prints_them_and_every_answer_to_one_text(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = annotation_table(
        [replace(answer(IDS[0], "anna", "yes"), comment=SAID), answer(IDS[1], "ben", "no")], "annotator", KEY, LABELS
    )
    batches = [store.write_batch(root / labelling.STORE, votes, ANNOTATIONS)]
    batches.append(store.write_batch(root / labelling.STORE, resolve(votes, 1, 0.6), HUMAN_LABELS))
    store.append(root / labelling.POINTER, [batch for batch in batches if batch])
    commands.notes("")
    out = capsys.readouterr().out
    assert f'yes; "{SAID}"' in out
    assert "1 answer to 1 text\n" in out
    commands.notes(IDS[1])
    out = capsys.readouterr().out
    assert f"{IDS[1]} resolved: no" in out


def test_a_store_of_before_is_read_and_its_answers_are_not_new(tmp_path: Path) -> None:
    held = stored_answers([("x", "anna", "yes"), ("y", "ben", "no")])
    old = held.drop(columns=[*WORDS, "guidelines"])
    batch = store.write_batch(tmp_path, old, ANNOTATIONS)
    assert batch is not None
    (tmp_path / "labels.json").write_text('{"batches": []}')
    store.append(tmp_path / "labels.json", [batch])
    stored = store.read_store(tmp_path / "labels.json", tmp_path).annotations
    assert new_answers(held, stored).empty
    assert comments(stored) == {}
    assert notes(stored) == []


def test_the_adjudicator_sees_them() -> None:
    votes = annotation_table(
        [replace(answer("x", "anna", "yes"), comment="sarcasm"), answer("x", "ben", "no")], "annotator", KEY, LABELS
    )
    decisions = new_decisions(resolve(votes, 2, 0.6), empty_table(HUMAN_LABELS))
    (item,) = conflicts(decisions, votes)
    assert item.reason == 'in conflict: 1 × no, 1 × yes; "sarcasm"'


def test_a_persons_data_in_a_remark_is_masked_though_the_text_is_known() -> None:
    item = Item("x", "text", "s")
    said = Answer(item, "yes", "anna", comment="ask anna@example.org", change_reason="told by ben@example.org")
    found = masked(said, Cleaning(repairs=[], mask=True, regions=[]), {"x": item})
    assert "example.org" not in found.comment + found.change_reason
    assert found.item is item
    assert masked(said, Cleaning(repairs=[], mask=False, regions=[]), {"x": item}) == said


def test_a_remark_that_quotes_a_forgotten_text_goes_and_its_answer_stays(tmp_path: Path) -> None:
    votes = annotation_table(
        [replace(answer("x", "anna", "yes"), comment="like 'the other one'"), answer("y", "ben", "no")],
        "annotator",
        KEY,
        LABELS,
    )
    batch = store.write_batch(tmp_path, votes, ANNOTATIONS)
    assert batch is not None
    pointer = tmp_path / "labels.json"
    pointer.write_text('{"batches": []}')
    store.append(pointer, [batch])
    assert erase_rows(pointer, tmp_path, lambda frame: [False] * len(frame), lambda value: "other one" in value) == 1
    left = store.read_store(pointer, tmp_path).annotations
    assert left["label"].tolist() == ["yes", "no"]
    assert left["comment"].isna().all()


def test_a_comment_in_place_of_a_label_is_a_skip_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "anna.csv"
    path.write_text("text,label,comment\none,,unclear\ntwo,,\nthree,yes,\n")
    found = as_classes(read_answers(path, {}), ["yes", "no"]).answers
    assert [(given.item.text, given.label, given.comment) for given in found] == [
        ("one", "", "unclear"),
        ("three", "yes", ""),
    ]
