"""The queue in a folder, and answers that people typed into a spreadsheet."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from ratchet.data.cleaning import text_id
from ratchet.data.cleaning_params import Cleaning
from ratchet.errors import TableError
from ratchet.labels.annotations import Item, masked
from ratchet.labels.queues import FileQueue, read_answers, read_items, write_items

ITEMS = [
    Item(
        "a" * 16,
        "a superb film",
        "made",
        "margin 0.03, unlike what is labelled",
        "positive",
        0.515,
        "teacher@1",
        "margin",
    ),
    Item("b" * 16, "=SUM(A1) dull, «dull»", "made", "in conflict: 1 × no, 1 × yes"),
]


def fill(path: Path, copy: Path, *labels: str, **more: str) -> None:
    """A copy of the sheet with a class in each row, as a spreadsheet would save it."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with copy.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "label": label, **more} for row, label in zip(rows, labels, strict=True))


def sheet(folder: Path) -> Path:
    (found,) = folder.glob("queue-*.csv")
    return found


def test_what_was_sent_is_there_once_however_often_it_is_sent(tmp_path: Path) -> None:
    queue = FileQueue(tmp_path)
    assert queue.items() == {}
    assert queue.answers() == []
    queue.send(ITEMS[:1])
    queue.send(ITEMS)
    queue.send(ITEMS)
    assert queue.items() == {item.id: item for item in ITEMS}
    assert len(list(tmp_path.iterdir())) == 4


def test_items_survive_the_file_also_without_a_confidence(tmp_path: Path) -> None:
    write_items(tmp_path / "outbox.jsonl", ITEMS)
    read = read_items(tmp_path / "outbox.jsonl")
    assert read[0] == ITEMS[0]
    assert math.isnan(read[1].confidence)
    assert (read[1].id, read[1].text, read[1].reason) == (ITEMS[1].id, ITEMS[1].text, ITEMS[1].reason)


@pytest.mark.parametrize("text", ["first\u2028second\x85third\x0cfourth", "never ends " * 20_000])
def test_a_text_of_any_separators_and_any_length_comes_back(tmp_path: Path, text: str) -> None:
    """From the queue's own files, and from answers in both formats."""
    item = Item(text_id(text), text, "made")
    write_items(tmp_path / "outbox.jsonl", [item])
    assert [sent.text for sent in read_items(tmp_path / "outbox.jsonl")] == [text]
    queue = FileQueue(tmp_path / "queue")
    queue.send([item])
    assert queue.items()[item.id].text == text
    csv.field_size_limit(131_072)  # what a process starts with
    with (tmp_path / "queue" / "ann.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text", "label"], [item.id, text, "positive"]])
    answers = tmp_path / "queue" / "bob.jsonl"
    answers.write_text(
        json.dumps({"id": item.id, "text": text, "label": "negative"}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    got = {answer.annotator: (answer.item.id, answer.item.text, answer.label) for answer in queue.answers()}
    assert got == {"ann": (item.id, text, "positive"), "bob": (item.id, text, "negative")}


def test_an_unquoted_comma_in_a_sheet_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "ann.csv"
    path.write_text("text,label\nfine,positive\nGood, great,positive\n", encoding="utf-8")
    with pytest.raises(TableError, match="row 2 has more fields than the header"):
        read_answers(path, {})
    path.write_text("text,label\nfine,positive,,\n", encoding="utf-8")
    assert len(read_answers(path, {})) == 1


def test_a_sheet_runs_no_text_as_a_formula_and_the_text_stays_whole(tmp_path: Path) -> None:
    queue = FileQueue(tmp_path)
    queue.send(ITEMS)
    with sheet(tmp_path).open(encoding="utf-8-sig", newline="") as file:
        assert [row["text"][:2] for row in csv.DictReader(file)] == ["a ", "'="]
    fill(sheet(tmp_path), tmp_path / "ben.csv", "positive", "negative")
    assert [answer.item.text for answer in queue.answers()] == [item.text for item in ITEMS]


def test_each_person_s_copy_is_read_and_empty_rows_are_no_answers(tmp_path: Path) -> None:
    queue = FileQueue(tmp_path)
    queue.send(ITEMS)
    fill(sheet(tmp_path), tmp_path / "anna.csv", "positive", "")
    fill(
        sheet(tmp_path),
        tmp_path / "rest.csv",
        "positive",
        "negative",
        annotator="Ben",
        lead_time_s="7.5",
        annotated_at="2026-01-01T13:00+01:00",
    )
    found = {(answer.annotator, answer.item.id): answer for answer in queue.answers()}
    assert {key: answer.label for key, answer in found.items()} == {
        ("anna", "a" * 16): "positive",
        ("Ben", "a" * 16): "positive",
        ("Ben", "b" * 16): "negative",
    }
    ben = found["Ben", "b" * 16]
    assert (ben.lead_time_s, ben.annotated_at, ben.origin) == (7.5, "2026-01-01T12:00:00.000000Z", "file:rest.csv")
    assert math.isnan(found["anna", "a" * 16].lead_time_s)


def test_json_lines_are_answers_too(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"id": "a" * 16, "label": "negative", "annotator": "anna", "lead_time_s": 3}) + "\n")
    (answer,) = read_answers(path, {item.id: item for item in ITEMS})
    assert (answer.item, answer.label, answer.lead_time_s) == (ITEMS[0], "negative", 3.0)


def test_a_text_of_one_s_own_is_cleaned_and_gets_its_id(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,label\nGood &amp; <br />short,positive\nA Superb  film,negative\n")
    own, known = read_answers(path, {text_id("a superb film"): ITEMS[0]})
    assert own.item == Item(text_id("Good & short"), "Good & short", "people", confidence=own.item.confidence)
    assert known.item == ITEMS[0]


def test_a_text_of_one_s_own_is_masked_as_the_corpus_is(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("text,label\nwrite to jo@example.org,positive\nWrite to al@example.org,negative\nfine,positive\n")
    cleaning = Cleaning(mask=True, regions=["US"])
    answers = read_answers(path, {})
    new, again, fine = (masked(answer, cleaning, {}) for answer in answers)
    assert (new.item.id, new.item.text) == (text_id("write to [EMAIL]"), "write to [EMAIL]")
    assert again.item.id == new.item.id
    assert fine == answers[2]
    in_the_pool = Item(new.item.id, "write to [EMAIL]", "shop")
    assert masked(answers[0], cleaning, {in_the_pool.id: in_the_pool}).item == in_the_pool
    assert masked(answers[0], Cleaning(), {}) == answers[0]


BROKEN = {
    "no text": ("id,label\nzz,positive\n", "names no text"),
    "a time that is none": ("text,label,annotated_at\nx,positive,noon\n", "ISO 8601"),
    "seconds that are none": ("text,label,lead_time_s\nx,positive,long\n", "lead time"),
    "negative seconds": ("text,label,lead_time_s\nx,positive,-1\n", "lead time"),
    "a quote that is not closed": ('text,label\n"x,positive\n', "cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_sheet_is_refused(tmp_path: Path, name: str) -> None:
    text, message = BROKEN[name]
    (tmp_path / "sheet.csv").write_text(text)
    with pytest.raises(TableError, match=message):
        read_answers(tmp_path / "sheet.csv", {})


@pytest.mark.parametrize("text", ["{", "[1, 2]\n", "3\n"])
def test_broken_json_lines_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(TableError, match="cannot be read"):
        read_answers(tmp_path / "a.jsonl", {})


def test_a_crash_while_sending_leaves_nothing_that_counts_as_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("ratchet.labels.queues.write_items", crash)
        with pytest.raises(KeyboardInterrupt):
            FileQueue(tmp_path).send(ITEMS)
    assert FileQueue(tmp_path).items() == {}
    FileQueue(tmp_path).send(ITEMS)
    assert len(FileQueue(tmp_path).items()) == 2
    assert len(list(tmp_path.iterdir())) == 2
