"""Suites as files: Great Expectations' own JSON, read strictly and written as people read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ratchet.errors import ParamsError


def read_suite_file(path: Path) -> Any:
    """What a suite's file holds, unchecked.

    Raises:
        ParamsError: it is missing or no JSON, or a key stands twice in it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except FileNotFoundError:
        raise ParamsError(
            "The suite is missing.",
            where=path,
            fix="run from the repository's root, or restore the file with git",
        ) from None
    except ValueError as error:  # also of the encoding
        raise ParamsError(
            "The suite is not valid JSON.",
            where=path,
            got=error,
            expected="a suite as Great Expectations writes it",
            fix="correct the syntax",
        ) from None


def suite_json(suite: dict[str, Any]) -> str:
    """A suite as the text of a file: an expectation in a few lines, as people read it.

    >>> suite_json({"name": "s", "expectations": [{"type": "t", "kwargs": {"column": "n"}, "meta": {}}]}).count(chr(10))
    10
    """

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    entries = [
        "    {\n" + ",\n".join(f"      {line(key)}: {line(value)}" for key, value in entry.items()) + "\n    }"
        for entry in suite["expectations"]
    ]
    head = "".join(f"  {line(key)}: {line(value)},\n" for key, value in suite.items() if key != "expectations")
    return "{\n" + head + '  "expectations": [\n' + ",\n".join(entries) + "\n  ]\n}\n"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' stands twice")
    return found
