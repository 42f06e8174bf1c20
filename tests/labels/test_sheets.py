"""Sheets as Excel and LibreOffice save them: read, or refused by the name of the column and the separator."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ratchet.data.cleaning import text_id
from ratchet.errors import TableError
from ratchet.labels.annotations import Item
from ratchet.labels.queues import FileQueue, read_answers
from ratchet.labels.sheets import read_sheet

TEXTS = ["a fine, «grand» film; really", "=SUM(A1) and\nmore", "Größe\u2028zählt", "12"]
ITEMS = [Item(text_id(text), text, "made") for text in TEXTS]
KNOWN = {item.id: item for item in ITEMS}
LABELS = ["positive", "", "négatif", "positive"]
HEADER = ["id", "text", "suggested", "confidence", "reason", "label", "annotator", "lead_time_s", "annotated_at"]


def table(header: list[str] | None = None) -> list[list[str]]:
    rows = [
        [item.id, item.text, "", "", "why", label, "Zoë", "7,5", ""] for item, label in zip(ITEMS, LABELS, strict=True)
    ]
    return [header or HEADER, *rows]


def as_csv(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end).writerows(rows)
    return file.getvalue()


def check(path: Path) -> None:
    """The answers in the sheet are those of `table`."""
    found = read_answers(path, KNOWN)
    assert [(answer.item, answer.label) for answer in found] == [
        (item, label) for item, label in zip(ITEMS, LABELS, strict=True) if label
    ]
    assert {(answer.annotator, answer.lead_time_s) for answer in found} == {("Zoë", 7.5)}


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_separator_and_encoding_of_a_spreadsheet_is_read(tmp_path: Path, separator: str, encoding: str) -> None:
    path = tmp_path / "anna.csv"
    for end in ("\r\n", "\n"):
        path.write_bytes(as_csv(table(), separator, end).encode(encoding))
        check(path)
    path.write_bytes((f"sep={separator}\r\n" + as_csv(table(), separator)).encode(encoding))
    check(path)


def test_a_sheet_in_the_code_page_of_a_european_excel_is_read(tmp_path: Path) -> None:
    rows = [[field.replace("\u2028", " ") for field in row] for row in table()]
    (tmp_path / "anna.csv").write_bytes(as_csv(rows, ";").encode("cp1252"))
    check(tmp_path / "anna.csv")


def test_columns_in_another_order_spelling_and_number_and_empty_rows_are_read(tmp_path: Path) -> None:
    rows = table(["ID", "Text ", "suggested", "confidence", "reason", " Label", "ANNOTATOR", "Lead time (s)", "x"])
    rows = [[row[at] for at in (8, 5, 0, 7, 6, 1)] + ["", ""] for row in rows]
    rows[3:3] = [[""] * 8, ["", " "]]
    (tmp_path / "anna.csv").write_text(as_csv([*rows, [""] * 8, [], [""] * 8], ";"), encoding="utf-8")
    check(tmp_path / "anna.csv")


REFUSED = {
    "no label": ("id;text;labels\nx;y;z\n", r"column 'label' is missing.*id, text, labels .*';'.*'labels' may be it"),
    "no text": ("label\tnote\na\tb\n", r"column 'id' or 'text' is missing.*label, note .*t'"),
    "one column": ("answers\nyes\n", "column 'label' is missing"),
    "a column twice": ("id,label,Label\nx,a,b\n", "'label' is there twice.*separator ','"),
    "an unquoted separator": ("text;label\ngood; great;a\n", "row 1 has more fields than the header.*';'"),
    "a date for seconds": ("text;label;lead_time_s\nx;a;12. Mai\n", "column lead_time_s.*12. Mai"),
    "a date of a locale": ("text;label;annotated_at\nx;a;24.11.2026 10:00\n", "column annotated_at.*24.11.2026"),
    "a rounded id": ("id;text;label\n1,23457E+15;x;a\n", "column id.*1,23457E"),
    "a cut id": ("id;text;label\n1234567890123450;x;a\n", "turned an id into a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_by_column_and_separator(tmp_path: Path, name: str) -> None:
    text, message = REFUSED[name]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TableError, match=f"(?s){message}"):
        read_answers(tmp_path / "a.csv", KNOWN)


def test_an_id_that_became_a_number_is_found_by_its_text(tmp_path: Path) -> None:
    text = "id;text;label\n1,23457E+15;A fine, «grand» film; really;a\n"
    (tmp_path / "a.csv").write_text(text.replace("film; really", '"'.join(("film", "")) + "; really"))
    rows = [["id", "text", "label"], ["1,23457E+15", TEXTS[0], "a"], ["1E+03", f"'{TEXTS[1]}", "b"]]
    (tmp_path / "a.csv").write_text(as_csv(rows, ";"), encoding="utf-8")
    assert [answer.item for answer in read_answers(tmp_path / "a.csv", KNOWN)] == ITEMS[:2]


def workbook(path: Path, rows: list[list[Any]], first: str = "") -> None:
    book = openpyxl.Workbook()
    if first:
        book.active.append([first])
    sheet = book.create_sheet("Answers") if first else book.active
    for row in rows:
        sheet.append(row)
    book.save(path)


@pytest.mark.parametrize("first", ["", "Read me"])
def test_a_workbook_is_read_from_the_sheet_that_has_the_columns(tmp_path: Path, first: str) -> None:
    rows: list[list[Any]] = [[*row[:7], 7.5, None] for row in table()[1:]]
    rows[1][1] = f"'{rows[1][1]}"  # as it was sent: openpyxl would write a formula
    rows[3][1] = 12
    workbook(tmp_path / "anna.xlsx", [HEADER, *rows, [], [None] * 9], first)
    check(tmp_path / "anna.xlsx")
    queue = FileQueue(tmp_path)
    assert queue.origins() == {"file:anna.xlsx"}


def test_typed_cells_of_a_workbook_are_what_a_person_typed(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["text", "label", "annotated_at"], ["x", 1, datetime(2026, 1, 2, 3, 4)], ["y", True, None]]
    workbook(tmp_path / "anna.xlsx", rows)
    first, second = read_answers(tmp_path / "anna.xlsx", {})
    assert (first.label, first.annotated_at) == ("1", "2026-01-02T03:04:00.000000Z")
    assert (second.label, second.annotated_at) == ("true", "")


def test_a_workbook_without_the_columns_or_of_other_bytes_is_refused(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", [["text", "answer"], ["x", "y"]], "Read me")
    with pytest.raises(TableError, match=r"(?s)'label' is missing.*sheet 'Answers'"):
        read_answers(tmp_path / "a.xlsx", {})
    (tmp_path / "b.xlsx").write_text("id,label")
    with pytest.raises(TableError, match="no workbook"):
        read_answers(tmp_path / "b.xlsx", {})


def test_an_ods_of_libreoffice_is_read(tmp_path: Path) -> None:
    """A minimal one, by the standard: OASIS OpenDocument 1.3, part 3."""
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in (["id", "label"], [ITEMS[0].id, "positive"])
    )
    names = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<?xml version="1.0"?><office:document-content xmlns:office="{names}:office:1.0" '
        f'xmlns:table="{names}:table:1.0" xmlns:text="{names}:text:1.0" office:version="1.3"><office:body>'
        f'<office:spreadsheet><table:table table:name="A">{cells}</table:table></office:spreadsheet></office:body>'
        "</office:document-content>"
    )
    with zipfile.ZipFile(tmp_path / "a.ods", "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr("META-INF/manifest.xml", f'<manifest:manifest xmlns:manifest="{names}:manifest:1.0"/>')
        file.writestr("content.xml", content)
    (found,) = read_answers(tmp_path / "a.ods", KNOWN)
    assert (found.item, found.label) == (ITEMS[0], "positive")


def test_what_was_sent_is_read_back_whatever_the_text_holds(tmp_path: Path) -> None:
    """U+2028, 140,000 characters, formulas, quotes: from the sheet that `send` wrote, by its texts alone."""
    texts = [*TEXTS[:3], "word " * 28_000 + "end", 'a "quoted", text', "-1 is @home", "tab\tand\vmore"]
    items = [Item(text_id(text), text, "made") for text in texts]
    queue = FileQueue(tmp_path)
    queue.send(items)
    (sent,) = tmp_path.glob("queue-*.csv")
    csv.field_size_limit(131_072)  # what a process starts with
    rows = read_sheet(sent)
    assert queue.answers() == []
    with (tmp_path / "anna.csv").open("w", encoding="utf-16", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["text", "label"], *([row["text"], "yes"] for row in rows)])
    assert [answer.item for answer in queue.answers()] == [queue.items()[item.id] for item in items]


def test_lock_files_and_other_files_of_an_office_are_left_alone(tmp_path: Path) -> None:
    for name in ("~$anna.xlsx", ".~lock.anna.ods#", ".anna.csv", "notes.md"):
        (tmp_path / name).write_text("x")
    assert FileQueue(tmp_path).answers() == []


def test_an_empty_file_holds_no_answers(tmp_path: Path) -> None:
    for name in ("a.csv", "b.tsv"):
        (tmp_path / name).write_text("\n\n")
        assert read_answers(tmp_path / name, {}) == []
