"""Formatting of figures, names and reports: three or four digits, units, words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ratchet.measure.estimate import Estimate

MISSING = "–"

METRIC_NAMES = {
    "primary": "primary metric",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "test_primary": "primary metric, test",
    "test_accuracy": "accuracy, test",
    "test_macro_f1": "macro-F1, test",
    "test_ece": "ECE, test",
    "ece": "ECE",
    "transfer_accuracy": "accuracy, other domain",
    "latency_p50_ms": "p50 latency, ms",
    "latency_p95_ms": "p95 latency, ms",
    "latency_p99_ms": "p99 latency, ms",
    "latency_long_p50_ms": "p50 latency of long texts, ms",
    "latency_long_p95_ms": "p95 latency of long texts, ms",
    "throughput_per_s": "texts per second",
    "size_mb": "size, MB",
    "peak_memory_mb": "peak memory, MB",
    "cost_per_million_usd": "USD per million",
    "cold_start_s": "cold start, s",
    "energy_per_thousand_j": "joules per thousand, counted",
    "energy_estimate_per_thousand_j": "joules per thousand, estimated",
    "worst_slice_accuracy": "worst slice's accuracy",
    "weak_slice_accuracy": "accuracy, weak slices",
    "contrast_accuracy": "accuracy, contrast edits",
    "contrast_consistency": "contrast consistency",
    "invariance_violation_rate": "invariance violations",
    "accuracy_gap": "accuracy gap between slices",
    "selection_rate_difference": "selection-rate difference",
    "equalized_odds_difference": "equalized-odds difference",
    "n_explained": "texts explained",
    "additivity_error": "additivity error",
    "shap_difference": "difference from shap's own explainer",
    "faithfulness_gain": "confidence lost by deleting named words, less random ones",
    "sufficiency_gain": "confidence of named words alone, less random ones",
    "attribution_agreement": "attributions as the teacher's, correlation",
    "attribution_stability": "attributions under another grouping, correlation",
    "gradient_agreement": "attributions as integrated gradients, correlation",
    "gradient_faithfulness_gain": "confidence lost by deleting what gradients name, less random ones",
    "gradient_convergence_delta": "what gradients leave unexplained",
}


def number(value: float | None) -> str:
    """A number to about three digits.

    >>> number(0.79312), number(3.9), number(12.3456), number(1234.5), number(0.0000412), number(-0.004), number(90.0)
    ('0.793', '3.90', '12.3', '1,234', '4.1e-05', '−0.004', '90')
    >>> number(float("nan"))
    '–'
    """
    if value is None or math.isnan(value):
        return MISSING
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    if size < 0.0005:
        text = f"{size:.1e}"
    elif float(value).is_integer() or size >= 100:
        text = f"{size:,.0f}"
    else:
        text = f"{size:.{3 if size < 1 else 2 if size < 10 else 1}f}"
    return f"−{text}" if value < 0 else text


def bound_text(bound: float) -> str:
    """A bound as it was set.

    >>> bound_text(0.70), bound_text(-0.015), bound_text(1)
    ('0.7', '−0.015', '1')
    """
    return f"{bound:g}".replace("-", "−", 1) if bound < 0 else f"{bound:g}"


def interval(estimate: Estimate) -> str:
    """The 95 % interval in brackets; empty for an exact or undefined figure."""
    if math.isnan(estimate.low) or math.isnan(estimate.high) or estimate.low == estimate.high:
        return ""
    return f"[{number(estimate.low)}, {number(estimate.high)}]"


def estimate_text(estimate: Estimate) -> str:
    """The value with its interval.

    >>> estimate_text(Estimate(0.793, 0.774, 0.812, 1706))
    '0.793 [0.774, 0.812]'
    """
    return f"{number(estimate.value)} {interval(estimate)}".strip()


def estimate_or_reason(estimate: Estimate) -> str:
    """The value with its interval, or why there is none.

    >>> estimate_or_reason(Estimate(math.nan, math.nan, math.nan, 0, "nobody was timed"))
    'unknown: nobody was timed'
    """
    return f"unknown: {estimate.reason}" if math.isnan(estimate.value) else estimate_text(estimate)


def metric_name(metric: str) -> str:
    """The metric in words, with its unit."""
    return METRIC_NAMES.get(metric, humanise(metric))


def humanise(key: str) -> str:
    """A key of a report as words.

    >>> humanise("n_train_rows"), humanise("size_mb"), humanise("source=web")
    ('train rows', 'size, MB', 'source = web')
    """
    if "=" in key:
        return " = ".join(key.split("=", 1))
    words = key.strip("_").split("_")
    words = words[1:] if words[0] == "n" and len(words) > 1 else words
    units = {"mb": "MB", "ms": "ms", "s": "s", "usd": "USD"}
    unit = f", {units[words[-1]]}" if len(words) > 1 and words[-1] in units else ""
    return " ".join(words[:-1] if unit else words) + unit


def is_estimate(value: Any) -> bool:
    """Whether a piece of a report is an `Estimate` in its JSON form."""
    return isinstance(value, Mapping) and {"value", "low", "high", "n"} <= set(value)


def plain(value: Any) -> str:
    """A scalar of a report, or an estimate, as text.

    >>> plain(True), plain(None), plain(12), plain(0.5), plain("x")
    ('yes', '–', '12', '0.500', 'x')
    """
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_estimate(value):
        return estimate_text(Estimate.from_json(dict(value)))
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return number(value) if isinstance(value, float) else str(value)


def markdown_text(text: str) -> str:
    """Text on one line in which nothing is taken for a table's border or for HTML.

    >>> print(markdown_text("a | <b>"))
    a \\| &lt;b>
    """
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], n_names: int = 1) -> list[str]:
    """The lines of a table: the first columns are names, the others figures; cells are Markdown already.

    >>> markdown_table(["bundle", "accuracy"], [["a", "0.5"]])
    ['| bundle | accuracy |', '|---|---:|', '| a | 0.5 |']
    """
    rule = "|---" * n_names + "|---:" * (len(head) - n_names) + "|"
    return [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]
