"""A record that has swallowed the next: a quote that closes too late takes line end, label and text along unseen."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?")


def swallowed_line(
    lines: Sequence[str],
    fields: Sequence[str],
    label_at: int,
    is_label: Callable[[str], bool],
    delimiter: str,
    quote: str,
) -> int | None:
    """Place of the line, from 0, of a record of several that looks like a record of its own; None: none does.

    A line does where the label column would stand a label: at its start where the label comes before the text, at its
    end where it comes after. Digits alone are found in texts too ("1, open"), so a number counts only in a line with
    all fields and no blank beside the delimiter.

    Args:
        lines: of the record, as they stand in the file.
        fields: of the record, as they were read.
        label_at: place of the label column.
        is_label: whether a value, without blanks and quotes around it, is one that a label has.
        delimiter: between fields.
        quote: around fields; empty: none.

    >>> is_label, fields = {"urgent", "routine"}.__contains__, ["routine", "Late.\\nurgent,Help"]
    >>> swallowed_line(['routine,"Late.\\n', 'urgent,Help"\\n'], fields, 0, is_label, ",", '"')
    1
    >>> swallowed_line(['routine,"Late.\\n', 'Sorry"\\n'], ["routine", "Late.\\nSorry"], 0, is_label, ",", '"')
    """
    broken = next((place for place, field in enumerate(fields) if "\n" in field or "\r" in field), None)
    if broken is None or broken == label_at:
        return None
    label_first = label_at < broken
    for number, line in enumerate(lines):
        if number == (0 if label_first else len(lines) - 1):
            continue  # the record's own label
        parts = line.rstrip("\r\n").split(delimiter)
        place = label_at if label_first else len(parts) - (len(fields) - label_at)
        if len(parts) < 2 or not 0 <= place < len(parts):
            continue
        value = parts[place].strip(f" {quote}")
        if is_label(value) and (not _NUMBER.fullmatch(value) or _whole(parts, place, len(fields))):
            return number
    return None


def _whole(parts: Sequence[str], place: int, n_fields: int) -> bool:
    """Whether the parts are as many as a record has fields, with no blank beside the label's delimiters."""
    beside = [parts[i] for i in (place + 1, place) if 0 < i < len(parts)]
    return len(parts) == n_fields and not any(part.startswith(" ") for part in beside)
