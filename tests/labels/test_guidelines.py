"""Guidelines: read by class, shown where people label, and named by each answer."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from ratchet.errors import TableError
from ratchet.labels.annotations import Item
from ratchet.labels.guidelines import NONE, Guidelines, read_guidelines
from ratchet.labels.label_studio import LabelStudioQueue
from ratchet.labels.queues import FileQueue
from tests.labels.test_label_studio import TOKEN, Server

TEXT = """# How to label

Read *all* of it.

## Positive

Praise,
- or thanks

### Examples

    a <b>fine</b> film

## Other remarks

nothing of a class

# NEGATIVE
blame
"""
LABELS = ["positive", "negative", "mixed"]
ITEM = Item("a" * 16, "text a", "made")


def written(folder: Path, text: str = TEXT) -> Guidelines:
    path = folder / "guidelines.md"
    path.write_text(text, encoding="utf-8-sig")
    return read_guidelines(path, LABELS)


def test_a_heading_that_names_a_class_opens_its_section(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert found.classes == {
        "positive": "Praise, or thanks Examples a <b>fine</b> film",
        "negative": "blame",
    }
    assert found.without_section(LABELS) == ["mixed"]
    assert found.version != written(tmp_path, TEXT + "\nmore").version


def test_a_missing_file_is_no_guidelines_and_a_class_has_one_section(tmp_path: Path) -> None:
    assert read_guidelines(tmp_path / "none.md", LABELS) == NONE
    with pytest.raises(TableError, match="two sections"):
        written(tmp_path, "# Mixed\na\n# mixed\nb\n")
    (tmp_path / "guidelines.md").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(TableError, match="cannot be read"):
        read_guidelines(tmp_path / "guidelines.md", LABELS)


def test_they_lie_beside_the_sheet_and_each_item_names_their_version(tmp_path: Path) -> None:
    guidelines = written(tmp_path)
    queue = FileQueue(tmp_path / "queue", guidelines)
    queue.send([ITEM])
    assert (tmp_path / "queue/guidelines.md").read_text(encoding="utf-8").strip() == TEXT.strip()
    assert queue.items()[ITEM.id].guidelines == guidelines.version
    (sheet,) = (tmp_path / "queue").glob("*.csv")
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        assert {"comment", "change_reason"} <= {*next(csv.reader(file))}
    later = written(tmp_path, TEXT + "\nmore")
    FileQueue(tmp_path / "queue", later).send([ITEM])  # sent before: asked by the earlier version
    assert queue.items()[ITEM.id].guidelines == guidelines.version
    assert (tmp_path / "queue/guidelines.md").read_text(encoding="utf-8").endswith("more\n")
    assert queue.answers() == []


def studio(server: Server, guidelines: Guidelines) -> LabelStudioQueue:
    transport = httpx.MockTransport(server)
    return LabelStudioQueue("http://server", TOKEN, "Ratchet", LABELS, 2, transport, guidelines)


def hints(server: Server) -> dict[str, str]:
    tree = ElementTree.fromstring(server.projects[0]["label_config"])
    return {str(choice.get("value")): str(choice.get("hint") or "") for choice in tree.iter("Choice")}


def test_a_new_project_shows_them_as_its_instruction_and_beside_each_class(tmp_path: Path) -> None:
    server, guidelines = Server(), written(tmp_path)
    studio(server, guidelines).send([ITEM])
    (project,) = server.projects
    assert project["show_instruction"]
    assert "<em>all</em>" in project["expert_instruction"]
    assert "<b>" not in project["expert_instruction"]
    assert hints(server) == {**guidelines.classes, "mixed": ""}
    assert studio(server, NONE).items()[ITEM.id].guidelines == guidelines.version


def test_a_project_follows_the_guidelines_and_keeps_its_own_where_there_are_none(tmp_path: Path) -> None:
    server = Server()
    studio(server, NONE).send([ITEM])
    server.projects[0] |= {"expert_instruction": "by hand", "show_instruction": True}
    studio(server, NONE).items()
    assert server.projects[0]["expert_instruction"] == "by hand"
    guidelines = written(tmp_path)
    studio(server, guidelines).items()
    assert server.projects[0]["expert_instruction"] == guidelines.html
    assert hints(server)["negative"] == "blame"
    later = written(tmp_path, TEXT.replace("blame", "blame and scorn"))
    studio(server, later).items()
    assert hints(server)["negative"] == "blame and scorn"
