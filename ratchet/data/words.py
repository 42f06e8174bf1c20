"""What a word of a text is: the one place to change for scripts that put no spaces between words."""

from __future__ import annotations

import re
from functools import cache

APOSTROPHES = "'’"
"""Characters that join the parts of one word, as in "isn't"; an argument of the functions below."""
COMPOUNDS = "-'’"
"""Apostrophes, and the hyphen of "well-made"."""
RE2_WORD = r"[\p{L}\p{N}_]+"
"""A word without joiners, for Arrow's kernels, which count in whole columns."""


def word_spans(text: str, joiners: str = APOSTROPHES) -> list[tuple[int, int]]:
    """Start and end of each word: a run of letters, digits and underscores, with single joiners inside it.

    >>> word_spans("It isn't."), word_spans("?!")
    ([(0, 2), (3, 8)], [])
    """
    return [match.span() for match in _pattern(joiners).finditer(text)]


def words(text: str, joiners: str = APOSTROPHES) -> list[str]:
    """The words of a text as they are written, in order.

    >>> words("Well-made, isn't it?"), words("Well-made, isn't it?", COMPOUNDS), words("isn't", "")
    (['Well', 'made', "isn't", 'it'], ['Well-made', "isn't", 'it'], ['isn', 't'])
    """
    return _pattern(joiners).findall(text)


def tokens(text: str) -> list[str]:
    """What stands between white space, punctuation included: by these a text is short or long, or cut short.

    >>> tokens("a text , short")
    ['a', 'text', ',', 'short']
    """
    return text.split()


@cache
def _pattern(joiners: str) -> re.Pattern[str]:
    return re.compile(rf"\w+(?:[{re.escape(joiners)}]\w+)*" if joiners else r"\w+")
