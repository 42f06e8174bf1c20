"""A figure of a report by its place: value and interval, the file it stands in, and the hash of that file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ratchet.errors import SourceError
from ratchet.files import read_json, sha256_file
from ratchet.params import read_yaml

ESTIMATE = ("value", "low", "high")
Language = str
"""`en` or `de`."""
MAX_LISTED = 12
"""Items of a list that are written out."""


class NotMeasuredError(Exception):
    """No report holds the figure: its stage was left out, or has not run."""


@dataclass(frozen=True)
class Place:
    """Where a figure stands."""

    file: str
    """Relative to the repository."""
    pointer: str
    """JSON Pointer, RFC 6901, which is used for YAML as well."""


@dataclass(frozen=True)
class Figure:
    """A figure as it was read."""

    place: Place
    value: Any
    """A number, text, list, or an object with value, low and high."""
    sha256: str
    """Of the file."""

    def to_json(self) -> dict[str, Any]:
        """The figure as the seal keeps it."""
        return {
            "file": self.place.file,
            "pointer": self.place.pointer,
            "value": self.value,
            "file_sha256": self.sha256,
        }


class Reports:
    """The files of a repository, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.hash = cache(self._hash)
        self._content = cache(self._read)

    def figure(self, place: Place) -> Figure:
        """The figure at a place.

        Raises:
            NotMeasuredError: there is none.
        """
        value = at(self._content(place.file), place.pointer)
        return Figure(place, value, self.hash(place.file))

    def _hash(self, file: str) -> str:
        return sha256_file(self._inside(file))

    def _read(self, file: str) -> Any:
        path = self._inside(file)
        if not path.is_file():
            raise NotMeasuredError(file)
        return read_json(path) if path.suffix == ".json" else read_yaml(path)

    def _inside(self, file: str) -> Path:
        """The file, which a dossier that came from elsewhere must not place outside of the repository.

        Raises:
            SourceError: it does.
        """
        path = (self._root / file).resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise SourceError("A figure's file lies outside of the repository.", got=file)
        return path


def at(content: Any, pointer: str) -> Any:
    """The value at a JSON Pointer.

    >>> at({"a/b": [1, {"c": 2}]}, "/a~1b/1/c")
    2

    Raises:
        NotMeasuredError: there is none, or it is null.
    """
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(content, Mapping) and key in content:
            content = content[key]
        elif isinstance(content, list) and re.fullmatch(r"\d+", key) and int(key) < len(content):
            content = content[int(key)]
        else:
            raise NotMeasuredError(pointer)
    if content is None or (isinstance(content, Mapping) and content.get("value", 0) is None):
        raise NotMeasuredError(pointer)
    return content


def in_words(value: Any, language: Language) -> str:
    """A figure as a sentence holds it: an estimate with its interval, a list with commas, numbers as one writes them.

    >>> in_words({"value": 0.806, "low": 0.787, "high": 0.825, "n": 1646}, "de")
    '0,806 [0,787; 0,825]'
    >>> in_words(33530, "en"), in_words(True, "de"), in_words(["a", "b"], "en")
    ('33,530', 'ja', 'a, b')
    """
    if isinstance(value, Mapping) and set(ESTIMATE) <= set(value):
        number, low, high = (_number(value[name], language) for name in ESTIMATE)
        if value["low"] == value["high"]:
            return number
        return f"{number} [{low}{'; ' if language == 'de' else ', '}{high}]"
    if isinstance(value, Mapping):
        items = [f"{name} {in_words(item, language)}" for name, item in value.items()]
        return _listed(items, language)
    if isinstance(value, list):
        return _listed(
            [in_words(item.get("name", item) if isinstance(item, Mapping) else item, language) for item in value],
            language,
        )
    if isinstance(value, bool):
        return {"en": ("no", "yes"), "de": ("nein", "ja")}[language][value]
    return _number(value, language) if isinstance(value, (int, float)) else str(value)


def _listed(items: list[str], language: Language) -> str:
    none, more = {"en": ("none", "more"), "de": ("keine", "weitere")}[language]
    rest = [f"{len(items) - MAX_LISTED} {more}"] if len(items) > MAX_LISTED else []
    return ", ".join([*items[:MAX_LISTED], *rest]) or none


def _number(value: float, language: Language) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "de" else text
