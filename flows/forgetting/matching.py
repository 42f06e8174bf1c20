"""Recognition of texts that are to be forgotten, in whatever form a file quotes them.

A value of a table is such a text when its id is, or when it holds one. In a file of prose, markup or JSON a text may be
escaped, cut short or spread over tags: both sides are reduced to their letters and digits, and the first 24 of them
must be there; in files of records, whose neighbours may begin alike, all of them. A short text, of fewer than 16, is
only recognised as a whole value or by its id: many say "very good".
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import regex

from ratchet.data.cleaning import text_id

MIN_CHARACTERS, MAX_CHARACTERS = 16, 24
"""Letters and digits by which a quoted text is recognised: at least, and at most so many of its first."""
_OTHER = regex.compile(r"[^\p{L}\p{N}\p{M}]+")
_TAG = re.compile(r"<[^<>]*>")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([nrtbf]))")


def squeeze(text: str) -> str:
    """Letters and digits of a text, casefolded.

    >>> squeeze("It's  GOOD, 100%!")
    'itsgood100'
    """
    return _OTHER.sub("", text.casefold())


def readable(text: str) -> str:
    """A file's content without tags and escapes, as far as they are those of HTML, JSON and Python.

    >>> readable('<b>It&#39;s</b> \\\\u0041\\\\n"')
    "It's A "
    """

    def letter(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else " "

    return html.unescape(_TAG.sub("", _ESCAPE.sub(letter, _surrogates(text)))).rstrip('"')


@dataclass
class Forgotten:
    """Texts to forget: their ids, before and after masking, and their words."""

    ids: set[str]
    texts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.texts = {*self.texts}
        self.ids = {*self.ids, *map(text_id, self.texts)}
        squeezed = {squeeze(text) for text in self.texts}
        long = {text for text in squeezed if len(text) >= MIN_CHARACTERS}
        self._whole = sorted(long)
        self._words = sorted(
            {max(_OTHER.sub(" ", text.casefold()).split(), key=len) for text in self.texts if squeeze(text) in long}
        )
        self._starts = sorted({text[:MAX_CHARACTERS] for text in long})

    @property
    def n_short(self) -> int:
        """Texts that are too short to be recognised where they are quoted."""
        return sum(len(squeeze(text)) < MIN_CHARACTERS for text in self.texts)

    def in_value(self, value: str, is_text: bool = True) -> bool:
        """Whether a value of a table is one of the texts, its id, or holds one.

        Args:
            value: a cell.
            is_text: whether it is a text of the data. A class or a domain may read like a short text and is none.
        """
        if value in self.ids or (is_text and text_id(value) in self.ids):
            return True
        folded = value.casefold()
        if not any(word in folded for word in self._words):  # cheap, and nearly always enough
            return False
        squeezed = squeeze(value)
        return any(text in squeezed for text in self._whole)

    def in_text(self, text: str, names: bool = True, whole: bool = False) -> bool:
        """Whether a file's content quotes a text, by its start or by the whole of it, or with `names` names an id."""
        if names and any(name in text for name in self.ids):
            return True
        wanted = self._whole if whole else self._starts
        if not wanted:
            return False
        squeezed = squeeze(readable(text))
        return any(part in squeezed for part in wanted)

    def in_bytes(self, content: bytes, names: bool = True) -> bool:
        """Whether a file that is no text holds one of the texts as they are, or with `names` an id."""
        forms = [text.encode(code) for text in self.texts if len(text) >= MIN_CHARACTERS for code in CODES]
        return any(form in content for form in [*(name.encode() for name in self.ids if names), *forms])


CODES = ("utf-8", "utf-16-le")


def as_text(content: bytes) -> str | None:
    """The content as text, by its byte order mark or as UTF-8; None where it is none."""
    for mark, code in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return content.decode(code, "replace")
    if b"\0" in content[:8192]:
        return None
    return content.decode("utf-8", "replace")


def read_list(lines: Iterable[str]) -> list[str]:
    """Ids of a list, one a line; empty lines and those that begin with # are none."""
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _surrogates(text: str) -> str:
    """Pairs of escaped surrogates as the character that they are."""
    return re.sub(
        r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", lambda match: json.loads(f'"{match[0]}"'), text
    )
