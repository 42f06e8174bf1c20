"""Guidelines are read by class, and reach whoever labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.errors import TableError
from ratchet.labels.annotations import Item
from ratchet.labels.guidelines import read_guidelines
from ratchet.labels.queues import FileQueue, read_answers

TEXT = """\
Read the whole text.

## Lost  card

The card is *gone*.

- stolen as well

### Examples

Where is my card?

## Other

Whatever else.
"""
LABELS = ["lost card", "other", "refund"]


def test_a_heading_that_names_a_class_opens_its_section(tmp_path: Path) -> None:
    path = tmp_path / "guidelines.md"
    path.write_text(TEXT, encoding="utf-8")
    found = read_guidelines(path, LABELS)
    assert found.classes["lost card"].startswith("The card is *gone*. stolen as well")
    assert found.classes["other"] == "Whatever else."
    assert found.without_section(LABELS) == ["refund"]
    assert read_guidelines(tmp_path / "none.md", LABELS).version == ""


def test_two_sections_on_a_class_and_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "guidelines.md"
    path.write_text("# other\n\na\n\n# Other\n\nb", encoding="utf-8")
    with pytest.raises(TableError, match="two sections"):
        read_guidelines(path, LABELS)
    path.write_bytes("# other\n\nf\u00fcr".encode("utf-16"))
    with pytest.raises(TableError, match="UTF-8"):
        read_guidelines(path, LABELS)


def test_the_queue_in_a_folder_holds_them_and_an_item_the_version_it_was_asked_by(tmp_path: Path) -> None:
    path, folder = tmp_path / "guidelines.md", tmp_path / "queue"
    path.write_text(TEXT, encoding="utf-8")
    guidelines = read_guidelines(path, LABELS)
    FileQueue(folder).send([Item("a" * 16, "before", "made")])
    FileQueue(folder, guidelines).send([Item("b" * 16, "after", "made")])
    assert (folder / "guidelines.md").read_text(encoding="utf-8").strip() == TEXT.strip()
    held = FileQueue(folder, guidelines).items()
    assert {item.text: item.guidelines for item in held.values()} == {"before": "", "after": guidelines.version}
    assert FileQueue(folder, guidelines).answers() == []  # guidelines are no sheet


def test_a_comment_in_place_of_a_label_is_a_skip_with_its_reason(tmp_path: Path) -> None:
    items = {key * 16: Item(key * 16, f"text {key}", "made") for key in "abc"}
    sheet = tmp_path / "anna.csv"
    rows = [
        "id;label;comment;change_reason",
        f"{'a' * 16};other;hard;misread",
        f"{'b' * 16};;unreadable;",
        f"{'c' * 16};;;",
    ]
    sheet.write_text("\n".join(rows), encoding="utf-8")
    found = [
        (answer.item.text, answer.label, answer.comment, answer.change_reason) for answer in read_answers(sheet, items)
    ]
    assert found == [("text a", "other", "hard", "misread"), ("text b", "", "unreadable", "")]
