"""What rules look at: each text measured once, a batch at a time, mostly in Arrow's kernels."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.languages import languages
from ratchet.data.personal_data import KINDS, SUSPECT, find_personal_data
from ratchet.data.rules.suites import Suite, match_measure
from ratchet.data.rules.tallies import Measure, Names, encode
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
    "n_characters": "characters of the text",
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
"""The measures of a text; `matches of PATTERN` counts those of a suite's own patterns."""


def needed(suites: Iterable[Suite]) -> list[str]:
    """The measures the suites look at, each once."""
    return list(dict.fromkeys(rule.measure for suite in suites for rule in suite.rules))


def measure_texts(
    texts: Sequence[str],
    names: Collection[str],
    regions: Sequence[str],
    known: Mapping[str, NDArray[Any]] | None = None,
) -> dict[str, Measure]:
    """Those of the named measures that are of texts, (n_texts,) each.

    Args:
        texts: the texts; a missing one is empty here, and `missing` measures say that it is.
        names: measures, also others, which are left out.
        regions: see `find_personal_data`.
        known: measures that were taken already.
    """
    import pyarrow

    column = pyarrow.array(texts, type=pyarrow.large_string())
    found: dict[str, Measure] = {name: values for name, values in (known or {}).items() if name in names}
    for name, kernel in _KERNELS.items():
        if name in names and name not in found:
            found[name] = _numbers(kernel(column))
    if "language" in names:
        found["language"] = encode(languages(texts))
    if {*PERSONAL} & {*names}:
        found |= {name: values for name, values in _personal(texts, column, regions).items() if name in names}
    for name in names:
        if name.startswith(match_measure("")):
            found[name] = _numbers(_count(name.removeprefix(match_measure("")))(column))
    return found


def missing(values: pyarrow.Array | pyarrow.ChunkedArray) -> NDArray[np.int32]:
    """1 where a value is missing, else 0, (n_rows,)."""
    return _numbers(values.is_null())


def columns_measure(schema: pyarrow.Schema) -> Names:
    """The columns of a table as a measure: `name: type`, one value a column."""
    return encode(f"{field.name}: {_type(field.type)}" for field in schema)


def _personal(texts: Sequence[str], column: pyarrow.Array, regions: Sequence[str]) -> dict[str, NDArray[np.int32]]:
    import pyarrow.compute

    counts = {name: np.zeros(len(texts), dtype=np.int32) for name in PERSONAL}
    suspects = pyarrow.compute.match_substring_regex(column, SUSPECT)
    for row in np.flatnonzero(suspects.to_numpy(zero_copy_only=False)).tolist():
        for find in find_personal_data(texts[row], regions):
            counts[f"n_{find.kind}"][row] += 1
    return counts


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


def _numbers(values: Any) -> NDArray[np.int32]:
    numbers: NDArray[np.int32] = values.to_numpy(zero_copy_only=False).astype(np.int32)
    return numbers


def _type(value: Any) -> str:
    """Arrow's name of a type without its unit, zone or width of offsets: `large_string` is a string."""
    name = re.sub(r"\[.*", "", str(value))
    return "string" if name in ("large_string", "string_view") else name
