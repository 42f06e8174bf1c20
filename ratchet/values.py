"""What a single value of a source means, whichever format it came from: CSV, JSON, Parquet, SQL or a data set.

A text stays as it is: "NA", "None", "null", "007" and "1.0" are texts in every format, and which of them stand for a
missing value only params can say. A typed value is spelled as a CSV writer would spell it, so that one table gives the
same strings from every format it is saved in.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.0*)?")
_TYPED = (int, float, Decimal, datetime, date, time, timedelta, UUID)
_SUSPECT = re.compile(r"[\u00c2-\u00f4\u2030][\u0080-\u00ff\u0152-\u02dc\u2013-\u2122]{1,3}")
"""Where a byte that starts a character in UTF-8 could stand, as one of the tables shows it, with what follows."""
BOOLEANS = {"true": "1", "false": "0"}
"""Spelling of a boolean, in lower case → the number that it is as a label."""


def string(value: Any) -> str | None:
    """A value as its string; null, NaN and the empty text as None.

    Raises:
        TypeError: the value is a list, a mapping or binary: it is no text, and its `repr` is none either.
        ValueError: the text holds half a surrogate pair, which JSON can spell and no UTF-8 file can hold.

    >>> [string(value) for value in ("x", 1, 1.0, 0.5, True, "007", "NA", "", None, float("nan"))]
    ['x', '1', '1.0', '0.5', 'true', '007', 'NA', None, None, None]
    """
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # UnicodeEncodeError is a ValueError
        return value or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, _TYPED):
        return str(value) if value == value else None  # NaN and NaT differ from themselves
    raise TypeError(kind_of(value))


def not_a_string(value: Any) -> str:
    """Why a value has no string, in words; empty: it has one.

    >>> not_a_string([1]), not_a_string("half \\ud83d"), not_a_string(1)
    ('a list', 'half a surrogate pair', '')
    """
    try:
        string(value)
    except TypeError as error:
        return str(error)
    except ValueError:
        return "half a surrogate pair"
    return ""


def kind_of(value: Any) -> str:
    """What a value is, in words for a message.

    >>> kind_of([1]), kind_of({}), kind_of(b"x")
    ('a list', 'an object', 'binary')
    """
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "binary"
    if isinstance(value, (list, tuple, set)) or hasattr(value, "__len__"):
        return "a list"
    return f"a value of type {type(value).__name__}"


def raw_value(value: object) -> str:
    """A raw label in the spelling by which labels are compared: true is 1, 1.0 is 1, blanks around it do not count.

    A code with leading zeros stays what it is, and so does a number too long for a float.

    >>> [raw_value(value) for value in (1, 1.0, "1", "1.0", True, "True", " late ", 0.5, False, "-0.0")]
    ['1', '1', '1', '1', '1', '1', 'late', '0.5', '0', '0']
    >>> [raw_value(value) for value in ("01", "1e3", "inf", "1_0", "90071992547409931", 1e16)]
    ['01', '1e3', 'inf', '1_0', '90071992547409931', '10000000000000000']
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if number := _WHOLE.fullmatch(text):
        sign, digits = number.groups()
        return digits if digits == "0" else sign + digits
    return BOOLEANS.get(text.lower(), text)


def is_twice_encoded(text: str) -> bool:
    """Whether a part of the text is UTF-8 that was decoded by another table and saved again (mojibake).

    The tables: Windows-1252, Latin-1, and Windows-1252 by way of Mac OS Roman, as spreadsheets on a Mac wrote it.

    >>> [is_twice_encoded(text) for text in ("caf\u00c3\u00a9", "\u00e5\u00a35", "caf\u00e9", "cafe", "\u5f88\u597d")]
    [True, True, False, False, False]
    """
    return not text.isascii() and any(map(_decodes_as_utf8, _SUSPECT.findall(text)))


def _decodes_as_utf8(characters: str) -> bool:
    for tables in (("cp1252",), ("latin-1",), ("cp1252", "mac_roman", "cp1252")):
        for n in range(2, len(characters) + 1):
            try:
                data = characters[:n].encode(tables[0])
                for wrong, right in zip(tables[1::2], tables[2::2], strict=True):
                    data = data.decode(wrong).encode(right)
                data.decode("utf-8")
            except UnicodeError:
                continue
            return True
    return False
