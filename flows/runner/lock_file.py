"""Entry-wise edits of dvc.lock: the text of one stage is replaced, that of the others is not even parsed.

DVC parses and writes the whole file whenever a stage has run, with a parser that keeps comments: two seconds of
processor time for 25 stages, as often as there are stages. What is written here is byte for byte what DVC writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ratchet.files import replace_file

HEAD = "schema: '2.0'\nstages:\n"
"""First lines of the file, as DVC writes them."""
_ENTRY = re.compile(r"^  (?=\S)", re.MULTILINE)
"""First line of a stage's entry."""


def read_entries(path: Path) -> dict[str, str] | None:
    """Name of a stage → the text of its entry, in the file's order; None if the text is not as DVC writes it.

    So it is with comments, the marks of a merge conflict, or a section besides that of the stages: DVC's own parser
    knows what to do then.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    head, body = text[: len(HEAD)], text[len(HEAD) :]
    if head != HEAD or re.search(r"^(?! |$)|^ *#", body.rstrip("\n"), re.MULTILINE):
        return None
    starts = [0, *(match.start() for match in _ENTRY.finditer(body)), len(body)]
    first, *entries = (body[start:end] for start, end in pairwise(starts))
    return {_name(entry): entry for entry in entries} if not first.strip() else None


def write_entries(path: Path, entries: dict[str, str]) -> None:
    """Write the entries in their order; the file is there whole or as it was."""
    with replace_file(path) as partial:
        partial.write_text(HEAD + "".join(entries.values()), encoding="utf-8")


def entry_text(name: str, entry: Any) -> str:
    """The entry of a stage as DVC writes it.

    Args:
        name: the stage's.
        entry: what `dvc.stage.serialize.to_single_stage_lockfile` gives.
    """
    from dvc.utils.serialize import dumps_yaml

    return str(dumps_yaml({"stages": {name: entry}})).removeprefix("stages:\n")


def in_order(entries: dict[str, str], names: Sequence[str]) -> dict[str, str]:
    """The entries in the order of the names; those without a name at the end, as they stood.

    >>> list(in_order({"c": "", "x": "", "a": ""}, ["a", "b", "c"]))
    ['a', 'c', 'x']
    """
    place = {name: number for number, name in enumerate(names)}
    return dict(sorted(entries.items(), key=lambda item: place.get(item[0], len(place))))


def _name(entry: str) -> str:
    """The key that an entry begins with.

    >>> _name("  export@onnx:\\n    cmd: x\\n"), _name("  '1':\\n    cmd: x\\n")
    ('export@onnx', '1')
    """
    return entry.partition("\n")[0].strip().removesuffix(":").strip("'\"")
