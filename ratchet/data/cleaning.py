"""Cleaning of texts, for training and for requests alike: declared repairs, each counted, masking of personal data, and
the id of what remains.

What is to be done says `ratchet.data.cleaning_params`.
"""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import regex

from ratchet.data.cleaning_params import Cleaning

_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|b|blockquote|center|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|li|ol|p|pre|q|s|small|span|strong"
    r"|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]*);", re.IGNORECASE)
_WIDTH_FORMS = re.compile("[\u3000\uff01-\uffef]+")
_WIDE_LETTERS = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc]+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def decode_entities(text: str) -> str:
    """HTML entities as the characters they stand for, once; names HTML does not know stay.

    >>> decode_entities("T&A &amp; &#8217;&nosuch;")
    'T&A & ’&nosuch;'
    """
    return _ENTITY.sub(lambda match: html.unescape(match.group()), text) if "&" in text else text


def replace_line_breaks(text: str) -> str:
    """`<br>` and `<br />` as a space."""
    return _LINE_BREAK.sub(" ", text) if "<" in text else text


def remove_tags(text: str) -> str:
    """Tags of HTML elements become a space; other angle brackets, such as `<grin>`, are the writer's own and stay.

    >>> remove_tags("a <i>b</i> <grin> 1 < 2")
    'a  b  <grin> 1 < 2'
    """
    return _TAG.sub(" ", text) if "<" in text else text


def repair_control_characters(text: str) -> str:
    """C1 controls as the Windows-1252 characters they were typed as; those without one, and C0 controls, are removed.

    Source: browsers read U+0080 to U+009F the same way, https://html.spec.whatwg.org/#numeric-character-reference-end-state

    >>> repair_control_characters("wow" + chr(0x85) + " " + chr(0x8E) + "i" + chr(0x9E) + "ek" + chr(0x10) + chr(0x81))
    'wow… Žižek'
    """
    return text if text.isprintable() else _CONTROL.sub(_windows_1252, text)


def normalize_unicode(text: str) -> str:
    """Unicode normalisation form C: one code point for a letter with its accent.

    Source: Unicode Standard Annex 15, https://www.unicode.org/reports/tr15/
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def normalize_width(text: str) -> str:
    """Full-width letters, digits and signs, and half-width Katakana and Hangul, in their normal width.

    Beside Han, Kana or Hangul signs keep their width: there full-width punctuation is how texts are written.
    Source: NFKC of the characters whose decomposition is <wide> or <narrow>, UAX 11 and 15.

    >>> normalize_width("ｇｏｏｄ！"), normalize_width("很ｇｏｏｄ！"), normalize_width("ｹｰｷ")
    ('good!', '很good！', 'ケーキ')
    """
    if text.isascii() or not _WIDTH_FORMS.search(text):
        return text
    forms = _WIDE_LETTERS if _east_asian().search(text) else _WIDTH_FORMS
    return forms.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)


def collapse_whitespace(text: str) -> str:
    """Runs of whitespace, line ends included, as one space; none at the ends."""
    if text.isprintable() and "  " not in text and text[:1] != " " and text[-1:] != " ":
        return text  # of printable characters only the plain space is whitespace
    return " ".join(text.split())


REPAIRS: dict[str, Callable[[str], str]] = {
    "entities": decode_entities,
    "line_breaks": replace_line_breaks,
    "tags": remove_tags,
    "control_characters": repair_control_characters,
    "width_forms": normalize_width,
    "unicode_nfc": normalize_unicode,
    "whitespace": collapse_whitespace,
}
"""The repairs in the order in which they are made: entities first, because `&lt;br&gt;` hides a line break."""


class Cleaned(NamedTuple):
    """What cleaning made of some texts."""

    texts: list[str]
    """(n_texts,), repaired and masked."""
    unmasked: list[str]
    """The same before masking."""
    n_repaired: dict[str, int]
    """Repair → texts that it changed."""
    n_masked: Counter[str]
    """Kind of personal data → finds; empty without masking."""


def clean(texts: Sequence[str], cleaning: Cleaning) -> Cleaned:
    """The texts as they are trained on, and as a model has to be asked.

    >>> cleaning = Cleaning(repairs=["entities"], mask=True, regions=["US"])
    >>> clean(["jo@example.org &amp; I"], cleaning).texts
    ['[EMAIL] & I']
    """
    repaired, n_repaired = clean_texts(texts, cleaning.repairs) if cleaning.repairs else (list(texts), {})
    if not cleaning.mask:
        return Cleaned(repaired, repaired, n_repaired, Counter())
    from ratchet.data.personal_data import mask_personal_data

    masked, n_masked = [], Counter[str]()
    for text in repaired:
        without, counts = mask_personal_data(text, cleaning.regions)
        masked.append(without)
        n_masked.update(counts)
    return Cleaned(masked, repaired, n_repaired, n_masked)


def clean_texts(texts: Sequence[str], repairs: Sequence[str] = tuple(REPAIRS)) -> tuple[list[str], dict[str, int]]:
    """The repaired texts, (n_texts), and for each repair how many texts it changed.

    Args:
        texts: as the source gave them.
        repairs: names of `REPAIRS`, in its order.

    >>> clean_texts(["Good.<br /><br />Really", "fine"], ["line_breaks", "whitespace"])
    (['Good. Really', 'fine'], {'line_breaks': 1, 'whitespace': 1})
    """
    counts = dict.fromkeys(repairs, 0)
    steps = [(name, REPAIRS[name]) for name in repairs]
    cleaned = []
    for text in texts:
        for name, repair in steps:
            repaired = repair(text)
            counts[name] += repaired != text
            text = repaired
        cleaned.append(text)
    return cleaned, counts


def text_id(text: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the text, casefolded and with whitespace collapsed.

    >>> text_id("Good  day") == text_id("good day\\n"), len(text_id(""))
    (True, 16)
    """
    return hashlib.sha256(collapse_whitespace(text.casefold()).encode()).hexdigest()[:16]


@cache
def _east_asian() -> regex.Pattern[str]:
    return regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")


def _windows_1252(match: re.Match[str]) -> str:
    code = ord(match.group())
    return bytes([code]).decode("cp1252", errors="ignore") if code >= 0x80 else ""
