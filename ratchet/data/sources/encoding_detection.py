"""The encoding of a text file, from its bytes, and what that finding is sure of."""

from __future__ import annotations

import codecs
import re
from typing import IO, Any, NamedTuple

CHUNK = 1 << 20
LEGACY = {
    "cp1252": "cp1252",
    "latin_1": "latin-1",
    "iso8859_15": "iso-8859-15",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "koi8_r": "koi8-r",
    "cp1253": "cp1253",
    "cp1254": "cp1254",
    "cp1255": "cp1255",
    "cp1256": "cp1256",
    "gb18030": "gb18030",
    "big5": "big5",
    "shift_jis": "shift_jis",
    "cp932": "cp932",
    "euc_jp": "euc-jp",
    "euc_kr": "euc-kr",
}
"""Encoding as charset-normalizer calls it → as a dialect does."""
LATIN = {"cp1252", "latin-1", "iso-8859-15", "cp1250", "cp1254"}
"""Tables of one byte a character with Latin letters: alike but for some of the upper half."""
_INSIDE = re.compile(r"(?<=[^\W\d_])[^\x00-\x7f](?=[^\W\d_])")


class Encoding(NamedTuple):
    """An encoding, and how sure it is."""

    name: str
    certain: bool
    """Whether the bytes themselves prove it: by a mark, by being ASCII, or by being valid UTF-8."""
    reason: str
    n_beyond_ascii: int
    """Bytes beyond ASCII, as far as was looked."""


def detect_encoding(data: IO[bytes]) -> Encoding:
    """The encoding of all that a stream holds.

    Without a mark, UTF-8 is certain: hardly any text in another encoding is valid by chance. A table of one byte a
    character is not: each table reads every file, and only the language speaks for one.
    """
    start = data.read(CHUNK)
    if found := _marked(start):
        return found
    decoder, n_beyond, chunk, suspects = codecs.getincrementaldecoder("utf-8")(), 0, start, bytearray()
    valid = True
    while chunk:
        if not chunk.isascii():
            n_beyond += sum(map(chunk.count, _UPPER))
            if len(suspects) < CHUNK:
                suspects += b"\n".join(line for line in chunk.split(b"\n") if not line.isascii())
        try:
            decoder.decode(chunk) if valid else None
        except UnicodeDecodeError:
            valid = False
        chunk = data.read(CHUNK)
    try:
        decoder.decode(b"", final=True) if valid else None
    except UnicodeDecodeError:
        valid = False
    if valid:
        return Encoding("utf-8", True, "all of it is valid UTF-8" if n_beyond else "all of it is ASCII", n_beyond)
    name, reason = _legacy(bytes(suspects[:CHUNK]))
    return Encoding(name, False, reason, n_beyond)


_UPPER = [bytes([value]) for value in range(0x80, 0x100)]


def _marked(start: bytes) -> Encoding | None:
    """By a byte order mark; or UTF-16 by its NULs, on one side of each pair."""
    if start.startswith(codecs.BOM_UTF8):
        return Encoding("utf-8", True, "it starts with the byte order mark of UTF-8", 0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Encoding("utf-16", True, "it starts with a byte order mark of UTF-16", 0)
    half = len(start) // 2
    for name, nul, other in (("utf-16-le", start[1::2], start[::2]), ("utf-16-be", start[::2], start[1::2])):
        if half and nul.count(0) > 0.3 * half and other.count(0) < 0.01 * half:
            return Encoding(name, True, "every second byte is NUL, as in UTF-16", 0)
    return None


def _legacy(sample: bytes) -> tuple[str, str]:
    """The likeliest table for lines that are no UTF-8, and why."""
    import charset_normalizer

    best: Any = charset_normalizer.from_bytes(sample, cp_isolation=list(LEGACY)).best()
    if best is None:
        return "cp1252", "it is no UTF-8, and reads as no language; Windows-1252 is the commonest table"
    name = LEGACY[best.encoding]
    if name not in LATIN:
        return name, f"it is no UTF-8, and reads as {best.language} in {name}"
    if name == "cp1254" and best.language == "Turkish":
        return name, "it is no UTF-8, and reads as Turkish in cp1254"
    if _letters(sample, "cp1250") - _letters(sample, "cp1252") > 0.2:
        return "cp1250", "it is no UTF-8, and cp1250 makes letters where cp1252 makes signs inside words"
    return "cp1252", "it is no UTF-8, and Windows-1252 is the commonest table of Latin letters"


def _letters(sample: bytes, encoding: str) -> float:
    """Share of letters among the characters beyond ASCII inside words, in [0, 1]; none there: 1."""
    inside = _INSIDE.findall(sample.decode(encoding, "replace"))
    return sum(character.isalpha() for character in inside) / len(inside) if inside else 1.0
