"""What a word is, in any script: validation, near-duplicates, slices, lengths, edits and explanations ask here.

Words are those of Unicode Standard Annex 29 (https://www.unicode.org/reports/tr29/), whose boundaries the package
`regex` knows. So combining marks belong to the letter before them, and where a script puts no spaces between words
(Han, Hiragana, Thai, Lao, Khmer, Myanmar) a character with its marks is a word; a run of Katakana is one. An emoji is
a word too, with all that its sequence is made of. Tailored, as the annex allows: apostrophes join whatever stands on
both sides ("1980's"), superscripts and fractions belong to their number ("m²"), full stops and colons join nothing.

docs/decisions/words-by-script.md says what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import regex

TermPattern = regex.Pattern[str] | re.Pattern[str]
APOSTROPHES = "'’"
"""Characters that join the parts of one word, as in "isn't"; an argument of the functions below."""
COMPOUNDS = "-'’"
"""Apostrophes, and the hyphen of "well-made"."""

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Line_Break=Complex_Context}"
"""Characters of scripts without spaces; Complex_Context is Unicode's name for those of South East Asia."""
_LETTER = r"\p{L}\p{N}_"
_PART = rf"[{_LETTER}](?:\B[{_LETTER}\p{{M}}\p{{Cf}}]|[\p{{Nl}}\p{{No}}]|(?<=[\p{{Nl}}\p{{No}}])[{_LETTER}])*+"
"""A word without joiners: \\B is any place at which the annex does not part."""
_EMOJI = (
    r"(?=\p{Emoji_Presentation}|\p{Extended_Pictographic}\uFE0F|\p{Regional_Indicator}{2}|[#*]\uFE0F?\u20E3"
    r"|(?![\0-\u22FF])(?=\p{Emoji})\p{Extended_Pictographic})\X"
)
_SPACED_EDGE = rf"(?![{_UNSPACED}])[{_LETTER}\p{{M}}]"
"""A character that a word of a script with spaces may go on with."""
_PLAIN = re.compile(
    "[\0-\u00ac\u00ae-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u20cf\u2100-\u22ff]*"
)
"""See `is_plain`."""
_FULL_STOPS = {r"[\p{Han}\p{Hiragana}\p{Katakana}]": "。", r"\p{Devanagari}": " ।"}
"""How a sentence ends in scripts that have a full stop of their own."""


def word_spans(text: str, joiners: str = APOSTROPHES) -> list[tuple[int, int]]:
    """Start and end of each word, in order.

    >>> word_spans("It isn't."), word_spans("?!"), word_spans("很好")
    ([(0, 2), (3, 8)], [], [(0, 1), (1, 2)])
    """
    return [match.span() for match in _pattern(text, joiners).finditer(text)]


def words(text: str, joiners: str = APOSTROPHES) -> list[str]:
    """The words of a text as they are written, in order.

    >>> words("Well-made, isn't it?"), words("Well-made, isn't it?", COMPOUNDS), words("isn't", "")
    (['Well', 'made', "isn't", 'it'], ['Well-made', "isn't", 'it'], ['isn', 't'])
    >>> words("यह की किताब"), words("好看🔥🔥")
    (['यह', 'की', 'किताब'], ['好', '看', '🔥', '🔥'])
    """
    found: list[str] = _pattern(text, joiners).findall(text)
    return found


def tokens(text: str) -> list[str]:
    """What stands between white space, punctuation included, and each character of a script without spaces: by these
    a text is short or long, or cut short.

    >>> tokens("a text , short"), tokens("iPhone 好看！")
    (['a', 'text', ',', 'short'], ['iPhone', '好', '看', '！'])
    """
    return text.split() if is_plain(text) else _tokens().findall(text)


def head(text: str, n_tokens: int) -> str:
    """The text up to its last of the first `n_tokens` tokens.

    >>> head("a text , short", 2), head("很好看", 2), head("short", 9)
    ('a text', '很好', 'short')
    """
    if is_plain(text):
        return " ".join(text.split()[:n_tokens])
    ends = [match.end() for match in _tokens().finditer(text)]
    return text[: ends[n_tokens - 1]] if len(ends) > n_tokens else text


def insert_word(text: str, word: str, place: int) -> str:
    """The text with a word before the token at `place`, or after its last one; spaced as the script is.

    >>> insert_word("a box", "red", 1), insert_word("很看", "好", 1), insert_word("很好", "ok", 2)
    ('a red box', '很好看', '很好 ok')
    """
    starts = [match.start() for match in _tokens().finditer(text)]
    at = starts[place] if place < len(starts) else len(text)
    before, after = text[:at].rstrip(), text[at:].lstrip()
    return f"{before}{_between(before, word)}{word}{_between(word, after)}{after}"


def rewrite(text: str, spans: Sequence[tuple[int, int]], new: Mapping[int, str]) -> str:
    """The text with other words in place of some, by their number; an empty one deletes. White space is collapsed.

    Words that touched a deleted one do not become one word.

    >>> rewrite("Good, not bad.", [(0, 4), (6, 9), (10, 13)], {0: "Poor", 1: ""})
    'Poor, bad.'
    >>> rewrite("a好b", [(0, 1), (1, 2), (2, 3)], {1: ""})
    'a b'
    """
    parts, at, last, parted = [], 0, "", False
    for index, (start, end) in enumerate(spans):
        gap, word = text[at:start], new.get(index, text[start:end])
        if gap:
            last = ""  # nothing touches what comes
        if word:
            parts += [gap, _between(last, word) if parted else "", word]
        else:
            parts.append(gap)
        last, parted, at = word or last, not word, end
    return " ".join("".join([*parts, text[at:]]).split())


def letter_runs(text: str) -> list[list[tuple[int, int]]]:
    """Words of nothing but letters, each as the spans of its letters with their marks; in scripts without spaces, what
    stands between two signs.

    >>> letter_runs("a b2 की"), letter_runs("很好，")
    ([[(0, 1)], [(5, 7)]], [[(0, 1), (1, 2)]])
    """
    spans = word_spans(text, COMPOUNDS)
    if is_plain(text):
        return [[(at, at + 1) for at in range(start, end)] for start, end in spans if text[start:end].isalpha()]
    runs: list[tuple[int, int]] = []
    for start, end in spans:
        if runs and runs[-1][1] == start and _unspaced().match(text[start]) and _unspaced().match(text[runs[-1][0]]):
            start = runs.pop()[0]
        runs.append((start, end))
    return [
        [letter.span() for letter in _letter().finditer(text, start, end)]
        for start, end in runs
        if regex.fullmatch(r"[\p{L}\p{M}\p{Cf}]+", text, pos=start, endpos=end)
    ]


def full_stop(text: str) -> str:
    """What ends a sentence in the script of the text's last word, with the space before it; empty: nothing does.

    >>> full_stop("so it was"), full_stop("很好"), full_stop("यह"), full_stop("ดี")
    (' .', '。', ' ।', '')
    """
    if is_plain(text):
        return " ."
    last = words(text)[-1:]
    for script, stop in _FULL_STOPS.items():
        if last and regex.search(script, last[0]):
            return stop
    return "" if last and regex.search(f"[{_UNSPACED}]", last[0]) else " ."


def find_terms(
    text: str, terms: tuple[str, ...], before: str = COMPOUNDS, after: str = COMPOUNDS, lead: str = ""
) -> TermPattern:
    """A pattern that finds any of the terms in this text as whole words, in any casing; the longest is tried first.

    In scripts without spaces a term may stand anywhere, and only a mark after it makes it another one.

    Args:
        text: in which it is to look; texts of one kind share a pattern.
        terms: words or phrases; the pattern's group `term`.
        before: characters that join what follows to a longer word.
        after: those that join what comes before.
        lead: a regular expression of what is taken along before a term and a space; the pattern's group `lead`.

    >>> text = "Old year-old 不好看 older"
    >>> [match["term"] for match in find_terms(text, ("old", "好看")).finditer(text)]
    ['Old', '好看']
    """
    return _term_pattern(terms, before, after, lead or r"(?!)", is_plain(text))


def term_finder(terms: Iterable[str]) -> Callable[[str], list[str]]:
    """A function that lists the given words that a text holds, as often as it does; terms and texts in lower case.

    >>> term_finder(["dull", "好看"])("dull , 不好看 , duller")
    ['dull', '好看']
    """
    listed = frozenset(terms)
    unspaced = tuple(sorted(term for term in listed if _unspaced().search(term)))
    spaced = listed.difference(unspaced)

    def found(text: str) -> list[str]:
        of_words = [word for word in words(text, COMPOUNDS) if word in spaced]
        if is_plain(text) or not unspaced:
            return of_words
        return of_words + [match["term"] for match in find_terms(text, unspaced).finditer(text)]

    return found


def is_plain(text: str) -> bool:
    """Whether the text is of letters of Latin, Greek, Cyrillic or Armenian script without marks, of digits and signs.

    In such texts words are runs of letters and digits, which Python's own engine finds several times as fast.
    """
    return text.isascii() or _PLAIN.fullmatch(text) is not None


def _between(left: str, right: str) -> str:
    """What stands between two parts of a text: a space, unless one is empty or both are of scripts without spaces."""
    unspaced = not (left and right) or (_unspaced().match(left[-1]) and _unspaced().match(right[0]))
    return "" if unspaced else " "


@cache
def _term_pattern(terms: tuple[str, ...], before: str, after: str, lead: str, plain: bool) -> TermPattern:
    edge = r"\w" if plain else _SPACED_EDGE
    start, end = rf"(?<!{edge}|[{re.escape(before)}])", rf"(?!{edge}|[{re.escape(after)}])"
    groups: dict[tuple[str, str], list[str]] = {}
    for term in sorted(terms, key=len, reverse=True):
        unspaced = [bool(_unspaced().match(edge)) for edge in (term[:1], term[-1:])]
        around = "" if unspaced[0] else start, r"(?!\p{M})" if unspaced[1] else end
        groups.setdefault(around, []).append(re.escape(term))
    if plain:
        groups = {(start, end): groups.get((start, end), [])}
    found = "|".join(f"{a}(?:{'|'.join(listed)}){b}" for (a, b), listed in groups.items() if listed) or r"(?!)"
    source = f"(?:{start}(?P<lead>{lead}) )?(?P<term>{found})"
    return re.compile(source, re.IGNORECASE) if plain else regex.compile(source, regex.IGNORECASE)


def _pattern(text: str, joiners: str) -> regex.Pattern[str] | re.Pattern[str]:
    return _plain(joiners) if is_plain(text) else _by_script(joiners)


@cache
def _plain(joiners: str) -> re.Pattern[str]:
    return re.compile(rf"\w+(?:[{re.escape(joiners)}]\w+)*" if joiners else r"\w+")


@cache
def _by_script(joiners: str) -> regex.Pattern[str]:
    joined = rf"(?:[{re.escape(joiners)}]{_PART})*+" if joiners else ""
    return regex.compile(rf"(?w){_PART}{joined}|{_EMOJI}")


@cache
def _tokens() -> regex.Pattern[str]:
    inked = r"[^\s\x1c-\x1f]"  # Python takes the separators of ASCII for white space
    return regex.compile(rf"(?w)[{_UNSPACED}](?:\B{inked})*+|(?:(?![{_UNSPACED}]){inked})++")


@cache
def _letter() -> regex.Pattern[str]:
    return regex.compile(r"\X")


@cache
def _unspaced() -> regex.Pattern[str]:
    return regex.compile(f"[{_UNSPACED}]")
