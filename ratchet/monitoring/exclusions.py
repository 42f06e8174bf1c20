"""Requests that nobody wrote: health checks, load tests and texts sent again and again.

Excluded by rule is what live.yaml names, by API key or by text: it is counted, and looked at no further. Texts that
make up a share of a window are set aside from drift, slices and estimates without any rule, because the reference holds
each text once; those that look like a machine's are reported with their key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ratchet.data.cleaning import text_id
from ratchet.monitoring.findings import Finding

if TYPE_CHECKING:
    import pyarrow

MIN_REPEATS = 10
"""Fewest copies of a text in a window that count as repeated, however small the window."""
SHORT = 20
"""Characters up to which a text repeats by nature: such answers are set aside, and not reported."""
N_NAMED = 5


@dataclass(frozen=True)
class Repeat:
    """A text that makes up a share of a window."""

    text_id: str
    """The id by which the corpus would know it, see `text_id`."""
    n: int
    """Its requests."""
    keys: list[str]
    """API keys that sent it, the busiest first; empty names are left out."""
    is_short: bool
    """Whether it repeats by nature, see `SHORT`."""


class Kept(NamedTuple):
    """Rows of a window, without those that are left out."""

    rows: pyarrow.Table
    figures: dict[str, Any]
    """How many were left out, and why."""
    findings: list[Finding]


def exclude(rows: pyarrow.Table, keys: Sequence[str], texts: Sequence[str]) -> Kept:
    """The rows that neither come from one of these API keys nor hold one of these texts.

    Texts are compared as ids: whatever their case and white space.
    """
    import pyarrow.compute as pc

    key_ids, ids = rows.column("key_id").to_pylist(), {text_id(text) for text in texts}
    by_key = np.array([key in keys for key in key_ids], dtype=bool) if keys else np.zeros(len(rows), dtype=bool)
    by_text = np.zeros(len(rows), dtype=bool)
    if ids:
        distinct = rows.column("text").combine_chunks().dictionary_encode()
        named = [text is not None and text_id(text) in ids for text in distinct.dictionary.to_pylist()]
        indices = pc.fill_null(distinct.indices, -1).to_numpy(zero_copy_only=False)
        by_text = np.array([*named, False], dtype=bool)[indices]
    out = by_key | by_text
    figures = {"n": int(out.sum()), "by_key": int(by_key.sum()), "by_text": int((by_text & ~by_key).sum())}
    return Kept(rows.filter(~out) if out.any() else rows, figures, [])


def set_aside_repeats(rows: pyarrow.Table, share: float) -> Kept:
    """The rows without the texts of which each makes up `share` of them, and findings that name the longer ones."""
    least = max(MIN_REPEATS, share * len(rows))
    counted = rows.column("text").value_counts()
    counts = counted.field("counts").to_numpy(zero_copy_only=False)
    often = np.flatnonzero(counts >= least)
    if not len(often):
        return Kept(rows, {"n": 0, "texts": []}, [])
    import pyarrow
    import pyarrow.compute as pc

    values = counted.field("values").take(pyarrow.array(often)).to_pylist()
    repeats = sorted((_repeat(rows, str(text)) for text in values if text is not None), key=lambda item: -item.n)
    out = pc.is_in(rows.column("text"), value_set=pyarrow.array([text for text in values if text is not None]))
    n = sum(item.n for item in repeats)
    named = [{"text_id": item.text_id, "n": item.n, "keys": item.keys} for item in repeats]
    found = [_finding(item, len(rows)) for item in repeats if not item.is_short][:N_NAMED]
    return Kept(rows.filter(pc.invert(out)), {"n": n, "texts": named[:N_NAMED]}, found)


def name_text(rows: pyarrow.Table, text: str) -> str:
    """A text and who sends it, without the text itself: `text 1a2b3c4d5e6f7081 from key probe`."""
    return _named(_repeat(rows, text))


def _repeat(rows: pyarrow.Table, text: str) -> Repeat:
    import pyarrow.compute as pc

    senders = rows.filter(pc.equal(rows.column("text"), text)).column("key_id").value_counts()
    by_key = sorted(
        zip(senders.field("counts").to_pylist(), senders.field("values").to_pylist(), strict=True), reverse=True
    )
    keys = [key for _, key in by_key if key]
    return Repeat(text_id(text), sum(count for count, _ in by_key), keys, len(text) <= SHORT)


def _named(item: Repeat) -> str:
    if not item.keys:
        return f"text {item.text_id}"
    others = f" and {len(item.keys) - 1} others" if len(item.keys) > 1 else ""
    return f"text {item.text_id} from key {item.keys[0]}{others}"


def _finding(item: Repeat, n: int) -> Finding:
    return Finding(
        "anomaly",
        f"repeated_text.{item.text_id}",
        "warning",
        f"{100 * item.n / n:.1f} % of {n:,} requests hold one {_named(item)}: set aside from drift, slices and "
        "estimates. Exclude a health check or a load test by rule: live.yaml, monitor.exclude_keys or exclude_texts.",
        {"rate": item.n / n, "n": float(n)},
    )
