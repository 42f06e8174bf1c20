"""Annotators' names: one person under all spellings, and a pseudonym that needs the key."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata

DELETED = "label-studio-user-None"
"""Name of everybody whose account was deleted before their answer was pulled: together they have one vote."""
_COPY_WORDS = "copy|kopie|copie|copia|cópia|kopia|kopi|kópia|kopija|copy of"
_COPY = re.compile(
    rf"(?:[\s_-]*\(\d{{1,3}}\)|[\s_–-]+\(?(?:{_COPY_WORDS})\)?(?:[\s_-]*\(?\d{{1,3}}\)?)?|~)+$", re.IGNORECASE
)
_COPY_OF = re.compile(r"^(?:copy of|kopie von|copie de|copia de|copia di|cópia de)\s+", re.IGNORECASE)


def canonical_name(annotator: str) -> str:
    """A name in one spelling: Unicode compatibility form and case folded, invisible characters out, single spaces.

    Source: Unicode Standard Annex 15, normalization forms, https://www.unicode.org/reports/tr15/.

    >>> canonical_name("  Zoë\\u00a0 Kim\\u200b") == canonical_name("ZOE\\u0308 kim")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", annotator).casefold())
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join(visible.split())


def person_of_sheet(stem: str) -> str:
    """Who a sheet speaks for that names nobody: its file name without the marks of a copy.

    >>> [person_of_sheet(name) for name in ("x (1)", "x(2)", "x - Copy", "x - Kopie (3)", "Copy of x", "person 1")]
    ['x', 'x', 'x', 'x', 'x', 'person 1']
    """
    return _COPY_OF.sub("", _COPY.sub("", stem)).strip() or stem


def pseudonym(annotator: str, key: str) -> str:
    """A name that stays the same for a person and does not tell who it is to those who lack the key.

    Without a key (empty), names can be found by trying: set one where answers name people. Another key gives
    everybody another name, see `key_fingerprint`.
    Source: HMAC, RFC 2104, https://www.rfc-editor.org/rfc/rfc2104.

    >>> pseudonym("anna", "k") == pseudonym(" Anna", "k"), pseudonym("anna", "k") == pseudonym("anna", "other")
    (True, False)
    """
    return f"annotator-{_hmac(key, canonical_name(annotator))[:10]}"


def key_fingerprint(key: str) -> str:
    """What the label store keeps of the pseudonym key, to tell another key: 16 hexadecimal digits of an HMAC.

    >>> key_fingerprint("k") == key_fingerprint("other")
    False
    """
    return _hmac(key, "fingerprint of the pseudonym key")[:16]


def _hmac(key: str, message: str) -> str:
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()
