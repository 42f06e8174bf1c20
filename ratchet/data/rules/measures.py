"""The measured columns of a text: each text measured once, a batch at a time, mostly in Arrow's kernels."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.languages import languages
from ratchet.data.personal_data import KINDS, SUSPECT, find_personal_data
from ratchet.data.rules.suites import MATCHES, Rule
from ratchet.data.words import words

if TYPE_CHECKING:
    import pyarrow

DAMAGE = (
    "\ufffd|[\x80-\x9f]"  # a character that could not be decoded; a control character that is none in any text
    "|[ÂÃâã][¡-©¬-¹¼-¿]|Ã[ƒ‰]|â€|ðŸ|ï¿½"  # UTF-8 that was read as Windows-1252
    "|¡[¦§¨]"  # Big5 quotation marks that were read as Windows-1252
)
MARKUP = (
    r"(?i)</?(?:a|b|br|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|script|span|strong|style|table|td|th|tr|u|ul)"
    r"(?:\s[^<>]*)?/?>|&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]+);"
)
PERSONAL = tuple(f"n_{kind}" for kind in KINDS)

MEASURES = {
    "n_characters": "characters of the text; missing where the text is",
    "n_words": 'words of the text, by its script, see ratchet/data/words.py; "isn\'t" counts as two',
    "n_damaged": "characters broken by a wrong decoding",
    "n_markup": "HTML tags and entities that are left in the text",
    "language": "ISO 639 code of the text's language; und where it cannot be told",
    "n_emails": "e-mail addresses",
    "n_phones": "telephone numbers",
    "n_cards": "payment card numbers with a valid check digit",
    "n_ibans": "bank account numbers with valid check digits",
    "n_national_numbers": "national identity, tax and health numbers with valid check digits",
}
"""The columns that are measured of a text; `matches of PATTERN` counts those of a suite's own regular expression."""


def needed(rules: Iterable[Rule]) -> list[str]:
    """The columns the rules look at, each once; that of the language where a rule is for some of them."""
    rules = list(rules)
    of_some = ["language"] if any(rule.languages for rule in rules) else []
    return list(dict.fromkeys([*(rule.column for rule in rules), *of_some]))


def measure_texts(
    texts: Sequence[str | None], names: Collection[str], regions: Sequence[str], n_words: NDArray[Any] | None = None
) -> dict[str, pyarrow.Array]:
    """Those of the named columns that are measured of texts, (n_texts,) each.

    Args:
        texts: the texts; a missing one has no characters, and counts as an empty one otherwise.
        names: columns, also others, which are left out.
        regions: see `find_personal_data`.
        n_words: words of each text, where they were counted already.
    """
    import pyarrow

    given = pyarrow.array(texts, type=pyarrow.large_string())
    column = given.fill_null("") if given.null_count else given
    found: dict[str, Any] = {"n_words": pyarrow.array(n_words)} if n_words is not None else {}
    for name, kernel in _KERNELS.items():
        if name in names and name not in found:
            found[name] = kernel(given if name == "n_characters" else column)
    if "language" in names:
        found["language"] = pyarrow.array(languages(column.to_pylist()), pyarrow.string()).dictionary_encode()
    if {*PERSONAL} & {*names}:
        found |= _personal(column, regions)
    for name in names:
        if name.startswith(MATCHES):
            found[name] = _count(name.removeprefix(MATCHES))(column)
    return {
        name: values if name == "language" else values.cast(pyarrow.int32())
        for name, values in found.items()
        if name in names
    }


def columns_of(schema: pyarrow.Schema) -> list[str]:
    """The columns of a table with their types, `name: type` each."""
    return [f"{field.name}: {_type(field.type)}" for field in schema]


def _personal(column: pyarrow.Array, regions: Sequence[str]) -> dict[str, pyarrow.Array]:
    import pyarrow
    import pyarrow.compute

    counts = {name: np.zeros(len(column), dtype=np.int32) for name in PERSONAL}
    suspects = pyarrow.compute.match_substring_regex(column, SUSPECT)
    for row in np.flatnonzero(suspects.to_numpy(zero_copy_only=False)).tolist():
        for find in find_personal_data(column[row].as_py(), regions):
            counts[f"n_{find.kind}"][row] += 1
    return {name: pyarrow.array(values) for name, values in counts.items()}


def _count(pattern: str) -> Callable[[Any], Any]:
    import pyarrow.compute

    return lambda column: pyarrow.compute.count_substring_regex(column, pattern)


def _length(column: Any) -> Any:
    import pyarrow.compute

    return pyarrow.compute.utf8_length(column)


def _n_words(column: Any) -> Any:
    import pyarrow

    return pyarrow.array([len(words(text, "")) for text in column.to_pylist()], pyarrow.int32())


_KERNELS: dict[str, Callable[[Any], Any]] = {
    "n_characters": _length,
    "n_words": _n_words,
    "n_damaged": lambda column: _count(DAMAGE)(column),
    "n_markup": lambda column: _count(MARKUP)(column),
}


def _type(value: Any) -> str:
    """Arrow's name of a type without its unit, zone or width of offsets: `large_string` is a string."""
    name = re.sub(r"\[.*", "", str(value))
    return "string" if name in ("large_string", "string_view") else name
