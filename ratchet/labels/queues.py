"""Annotation queues: a folder of files, or a server (see `label_studio`), behind one interface."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from ratchet.errors import TableError
from ratchet.files import replace_file, sha256_json
from ratchet.labels.annotations import Answer, Item, utc_time
from ratchet.labels.annotators import person_of_sheet
from ratchet.labels.guidelines import NONE, Guidelines
from ratchet.labels.sheets import BOOK_SUFFIXES, TEXT_SUFFIXES, read_sheet

AGAIN = "split:"
"""Start of the query strategy of texts that are asked again, for their class was split."""
ANSWER_COLUMNS = ("label", "annotator", "comment", "change_reason", "lead_time_s", "annotated_at")
SHEET_COLUMNS = ("id", "text", "suggested", "confidence", "reason", *ANSWER_COLUMNS)
ROUNDED = re.compile(r"\d([.,]\d+)?E[+-]?\d+|\d{15}0", re.IGNORECASE)
"""An id of digits, as a spreadsheet shows it that took it for a number."""
NUMBERS = ("confidence", "query_score")
"""Numbers of an item, which may be undefined."""
WORDS = ("id", "text", "source", "reason", "suggested", "bundle", "query_strategy", "guidelines")
"""Texts of an item."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Queue(Protocol):
    """Interface of an annotation queue: items sent, and their answers."""

    @property
    def where(self) -> str:
        """Location of the queue, for messages."""

    def items(self) -> dict[str, Item]:
        """Everything that was ever sent, by id."""

    def send(self, items: Sequence[Item]) -> None:
        """Send these; a text that was sent before is not sent again."""

    def answers(self) -> list[Answer]:
        """Every answer there is, also those that were fetched before, the latest of a person last."""

    def origins(self) -> set[str]:
        """The places that `answers` reads, as answers name them."""


class FileQueue:
    """A folder: `queue-HASH.jsonl` holds what was sent, `queue-HASH.csv` is the same for a spreadsheet.

    People fill the columns label, annotator and, if they can, comment, change_reason, lead_time_s and annotated_at of
    the CSV, or of a copy each under another name in the same folder, saved as CSV or as a workbook. Every other sheet
    or JSONL file there is read as well; a row with neither label nor comment is no answer. The JSONL is what was sent:
    a text that a spreadsheet has altered does no harm. `guidelines.md` is what people keep to.
    """

    def __init__(self, folder: Path, guidelines: Guidelines = NONE) -> None:
        self._folder, self._guidelines = folder, guidelines

    @property
    def where(self) -> str:
        return str(self._folder)

    def items(self) -> dict[str, Item]:
        return by_id(item for path in sorted(self._folder.glob("queue-*.jsonl")) for item in read_items(path))

    def send(self, items: Sequence[Item]) -> None:
        known, version = self.items(), self._guidelines.version
        new = [replace(item, guidelines=version) for item in items if not is_sent(item, known)]
        if version:
            with replace_file(self._folder / "guidelines.md") as partial:
                partial.write_text(f"{self._guidelines.text}\n", encoding="utf-8")
        if not new:
            return
        again = [AGAIN] if any(item.query_strategy.startswith(AGAIN) for item in new) else []
        name = f"queue-{sha256_json([*again, *(item.id for item in new)])[:12]}"
        with (
            replace_file(self._folder / f"{name}.csv") as partial,
            partial.open("w", encoding="utf-8-sig", newline="") as file,
        ):
            writer = csv.DictWriter(file, SHEET_COLUMNS, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows({key: _no_formula(value) for key, value in item_row(item).items()} for item in new)
        # last, because what it names counts as sent
        write_items(self._folder / f"{name}.jsonl", new)

    def answers(self) -> list[Answer]:
        return self.answers_to(self.items())

    def answers_to(self, known: dict[str, Item]) -> list[Answer]:
        """The same, to texts that were sent here or elsewhere: by id."""
        return [answer for path in self._sheets() for answer in read_answers(path, known)]

    def origins(self) -> set[str]:
        return {origin_of(path) for path in self._sheets()}

    def _sheets(self) -> list[Path]:
        """What people may have filled, the latest saved last: of two answers without a time it holds."""
        there = [path for path in self._folder.glob("*") if path.is_file() and not path.name.startswith((".", "~$"))]
        sheets = [path for path in there if path.suffix.lower() in (*TEXT_SUFFIXES, *BOOK_SUFFIXES)]
        lines = [path for path in there if path.suffix == ".jsonl" and not path.name.startswith("queue-")]
        return sorted([*sheets, *lines], key=lambda path: (path.stat().st_mtime_ns, path.name))


def origin_of(path: Path) -> str:
    """The origin of answers in a file: its name."""
    return f"file:{path.name}"


class JoinedQueue:
    """A server that texts are sent to, and a folder whose sheets are read as well."""

    def __init__(self, server: Queue, folder: FileQueue) -> None:
        self._server, self._folder = server, folder

    @property
    def where(self) -> str:
        return self._server.where

    def items(self) -> dict[str, Item]:
        return by_id([*self._folder.items().values(), *self._server.items().values()])

    def send(self, items: Sequence[Item]) -> None:
        known = self._folder.items()
        self._server.send([item for item in items if not is_sent(item, known)])

    def answers(self) -> list[Answer]:
        return [*self._folder.answers_to(self.items()), *self._server.answers()]

    def origins(self) -> set[str]:
        return self._folder.origins() | self._server.origins()


def is_sent(item: Item, known: Mapping[str, Item]) -> bool:
    """Whether a queue that holds `known` need not be sent the item; what is asked again is sent once more."""
    if item.id in known and item.query_strategy.startswith(AGAIN):
        return known[item.id].query_strategy == item.query_strategy
    return item.id in known


def by_id(items: Iterable[Item]) -> dict[str, Item]:
    """Items by their ids; of one that was asked again, that one."""
    found: dict[str, Item] = {}
    for item in items:
        if item.id not in found or item.query_strategy.startswith(AGAIN):
            found[item.id] = item
    return found


def item_row(item: Item) -> dict[str, Any]:
    """The item in JSON's own types: an undefined number is null."""
    numbers = {"confidence": item.confidence, "query_score": item.query_score}
    return asdict(item) | {name: None if math.isnan(value) else value for name, value in numbers.items()}


def write_items(path: Path, items: Sequence[Item]) -> None:
    """One JSON object a line, whole or not at all."""
    lines = [json.dumps(item_row(item), ensure_ascii=False, sort_keys=True) + "\n" for item in items]
    with replace_file(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8")


def read_items(path: Path) -> list[Item]:
    """Items from a file of `write_items`.

    Raises:
        TableError: the file is damaged.
    """
    return [_item(row, path) for row in read_rows(path)]


def read_answers(path: Path, known: dict[str, Item]) -> list[Answer]:
    """The answers in a spreadsheet (see `read_sheet`) or a JSONL file; rows without a label and a comment are none.

    Columns: `label`; `id`, or `text` for a text that was never sent; and, where known, `annotator` (otherwise the
    file's name, without "(1)" and other marks of a copy), `lead_time_s` in seconds, `annotated_at` (ISO 8601),
    `source`, and the remarks `comment` and `change_reason`. A comment in place of a label is a skip with its reason.

    Args:
        path: the file.
        known: what was sent or lies in the pool, by id: text, source and suggestion come from there.

    Raises:
        TableError: the file cannot be read, a row names no text, or a number or time is none.
    """
    answers = []
    rows = read_rows(path) if path.suffix.lower() == ".jsonl" else read_sheet(path)
    for number, row in enumerate(rows, start=1):
        label, comment, reason = (
            _formula(str(row.get(name) or "").strip()) for name in ("label", "comment", "change_reason")
        )
        if not label and not comment:
            continue
        where = f"{path.name}, row {number}"
        answers.append(
            Answer(
                _known_item(row, known, where),
                label,
                str(row.get("annotator") or "").strip() or person_of_sheet(path.stem),
                utc_time(row.get("annotated_at"), f"{where}, column annotated_at"),
                _seconds(row.get("lead_time_s"), f"{where}, column lead_time_s"),
                origin_of(path),
                comment,
                reason,
            )
        )
    return answers


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file as mappings; its lines end in LF alone, since a text may hold any other separator.

    Raises:
        TableError: it is damaged.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            rows = [dict(json.loads(line)) for line in file if line.strip()]
        json.dumps(rows, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise TableError(
            "A file with answers cannot be read.", where=path, got=error, expected="one JSON object a line, in UTF-8"
        ) from None
    return rows


def _known_item(row: dict[str, Any], known: dict[str, Item], where: str) -> Item:
    from ratchet.data.cleaning import clean_texts, text_id

    name, text = (str(row.get(column) or "").strip() for column in ("id", "text"))
    if name in known:
        return known[name]
    if not text:
        raise TableError(
            "An answer names no text.",
            where=f"{where}, column id",
            got=f"id '{name}'",
            expected="the id of a text that was sent or lies in the pool, or the text itself",
        )
    (text, plain), _ = clean_texts([text, _formula(text)])
    if found := known.get(text_id(text)) or known.get(text_id(plain)):
        return found
    if ROUNDED.fullmatch(name):
        raise TableError(
            "A spreadsheet has turned an id into a number, and the text is not the one that was sent.",
            where=f"{where}, column id",
            got=name,
            expected="16 hexadecimal digits",
            fix="copy the row's id and text from the sheet that was sent, into cells formatted as text",
        )
    return Item(text_id(text), text, str(row.get("source") or "people"))


def _item(row: dict[str, Any], path: Path) -> Item:
    fix = "delete it and push again"
    if wrong := [name for name in WORDS if not isinstance(row.get(name, ""), str)]:
        raise TableError("A queue file is damaged.", where=path, got=f"{wrong[0]} is no text", fix=fix)
    try:
        numbers = {name: math.nan if (value := row.get(name)) is None else float(value) for name in NUMBERS}
        return Item(**{**row, **numbers})
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise TableError("A queue file is damaged.", where=path, got=error, fix=fix) from None


def _seconds(value: Any, where: str) -> float:
    try:
        plain = str(value if value is not None else "").strip().replace(",", ".")
        seconds = float(plain) if plain else math.nan
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0 or math.isinf(seconds):
        raise TableError("A lead time is no number of seconds.", where=where, got=value, expected="such as 12.5")
    return seconds


def _no_formula(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, kept from it by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _formula(text: str) -> str:
    """The text without the apostrophe of `_no_formula`."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text
