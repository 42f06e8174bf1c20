"""Traffic anomalies: request rate, latency, errors, empty or odd texts, one dominant key or text.

A share counts as too high when the low end of its 95 % interval is above the bound, so that a small window does not
alarm by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ratchet.measure.bootstrap import proportion_estimate
from ratchet.monitoring.exclusions import SHORT, name_text
from ratchet.monitoring.findings import Finding, Severity
from ratchet.monitoring.settings import MonitorParams

if TYPE_CHECKING:
    import pyarrow

MIN_LETTERS = 0.5
"""Share of a text's characters, white space aside, that are letters, below which it is odd."""
MIN_HISTORY = 5
"""Earlier windows without which nobody knows what rate is usual."""


def find_anomalies(
    rows: pyarrow.Table, minutes: float, earlier_per_minute: Sequence[float], params: MonitorParams
) -> tuple[dict[str, float], list[Finding]]:
    """Figures of a window, and what is abnormal among them.

    Args:
        rows: every request of the window, answered or not.
        minutes: how long the window lasted.
        earlier_per_minute: requests a minute of earlier windows.
        params: the bounds.
    """
    n = len(rows)
    status = rows.column("status").to_numpy()
    latency = rows.column("latency_ms").to_numpy()[status == 200]
    texts = rows.column("text").drop_null()
    n_empty, n_odd = _odd_texts(texts, params.max_characters)
    counts = {
        "slow": (int((latency > params.max_latency_ms).sum()), len(latency), params.max_slow_rate, "answers are slow"),
        "errors": (int((status >= 500).sum()), n, params.max_error_rate, "requests failed"),
        "shed": (int((status == 429).sum()), n, params.max_shed_rate, "requests were refused as too many"),
        "empty_texts": (n_empty, len(texts), params.max_empty_rate, "texts are empty"),
        "odd_texts": (n_odd, len(texts), params.max_odd_rate, "texts are hardly letters, or huge"),
        "same_text": (_most(texts), len(texts), params.max_share_of_text, "requests hold the same text"),
        "one_key": (_most_of_keys(rows.column("key_id")), n, params.max_share_of_key, "requests come from one key"),
    }
    if (busiest := _busiest(texts)) is not None:
        counts["same_text"] = (*counts["same_text"][:3], f"requests hold one {name_text(rows, busiest)}")
    if (key := _busiest_key(rows.column("key_id"))) is not None:
        counts["one_key"] = (*counts["one_key"][:3], f"requests come from one key, {key}")
    figures = {name: hits / of if of else float("nan") for name, (hits, of, _, _) in counts.items()}
    findings = [found for name, count in counts.items() if (found := _above(name, *count)) is not None]
    figures["per_minute"] = n / max(minutes, 1e-9)
    if (found := _rate(figures["per_minute"], earlier_per_minute, params.rate_factor)) is not None:
        findings.append(found)
    if len(latency):
        figures["latency_p95_ms"] = float(np.percentile(latency, 95))
    return figures, findings


def _above(name: str, hits: int, n: int, bound: float, what: str) -> Finding | None:
    share = proportion_estimate(hits, n)
    if not share.low > bound:
        return None
    severity: Severity = "alert" if name in ("errors", "slow", "one_key", "same_text") else "warning"
    return Finding(
        "anomaly",
        name,
        severity,
        f"{100 * share.value:.1f} % of {n:,} {what}; at most {100 * bound:g} % are usual.",
        {"rate": share.value, "low": share.low, "bound": bound, "n": n},
    )


def _rate(per_minute: float, earlier: Sequence[float], factor: float) -> Finding | None:
    if len(earlier) < MIN_HISTORY:
        return None
    usual = float(np.median(earlier))
    if usual / factor <= per_minute <= usual * factor:
        return None
    return Finding(
        "anomaly",
        "rate",
        "alert",
        f"{per_minute:.1f} requests a minute; {usual:.1f} are usual.",
        {"per_minute": per_minute, "usual": usual, "factor": factor},
    )


def _odd_texts(texts: pyarrow.ChunkedArray, most: int) -> tuple[int, int]:
    """Texts without a word; and others that are hardly letters, or longer than `most` characters."""
    import pyarrow.compute as pc

    # by Arrow's own loops: 100,000 texts take a fraction of a second
    length = pc.utf8_length(texts).to_numpy()
    visible = pc.count_substring_regex(texts, r"\S").to_numpy()
    letters = pc.count_substring_regex(texts, r"\pL").to_numpy()
    empty = visible == 0
    odd = ~empty & ((letters < MIN_LETTERS * visible) | (length > most))
    return int(empty.sum()), int(odd.sum())


def _busiest(texts: pyarrow.ChunkedArray) -> str | None:
    """The most frequent text; empty ones are counted elsewhere, and short answers repeat by nature."""
    import pyarrow.compute as pc

    kept = texts.filter(pc.greater(pc.utf8_length(texts), SHORT))
    if not len(kept):
        return None
    found = kept.value_counts()
    return str(found.field("values")[int(np.argmax(found.field("counts").to_numpy()))].as_py())


def _most(texts: pyarrow.ChunkedArray) -> int:
    """Count of the most frequent text."""
    import pyarrow.compute as pc

    busiest = _busiest(texts)
    return 0 if busiest is None else int(pc.sum(pc.equal(texts, busiest)).as_py())


def _busiest_key(keys: pyarrow.ChunkedArray) -> str | None:
    """The busiest key; None where there is only one, or none: then nobody floods the others out."""
    found = keys.value_counts()
    names, counts = found.field("values").to_pylist(), found.field("counts").to_pylist()
    named = [(count, name) for count, name in zip(counts, names, strict=True) if name not in (None, "")]
    return max(named)[1] if len(named) > 1 else None


def _most_of_keys(keys: pyarrow.ChunkedArray) -> int:
    """Requests of the busiest key."""
    import pyarrow.compute as pc

    key = _busiest_key(keys)
    return 0 if key is None else int(pc.sum(pc.equal(keys, key)).as_py())
