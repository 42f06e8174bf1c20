"""Machine-dependent figures: split off from a report, and merged back into it.

Git keeps a report without them, so that a second run of the same code changes nothing there; DVC keeps them, in one
file beside each report. `drop(report)` is the first part, `difference(report, drop(report))` the second, and `merge`
of both is the report again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MACHINE_METRICS = frozenset(
    {
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "latency_long_p50_ms",
        "latency_long_p95_ms",
        "throughput_per_s",
        "cost_per_million_usd",
        "energy_per_thousand_j",
        "energy_estimate_per_thousand_j",
        "peak_memory_mb",
        "cold_start_s",
    }
)
"""Metrics of a bundle that depend on the machine, absolute or against another bundle's."""
MACHINE_KEYS = MACHINE_METRICS | {
    "costs",
    "cpu_s",
    "cpu_s_per_text",
    "machine",
    "resumed_at_epoch",
    "seconds",
    "tokens_per_second",
    "trials",
}
"""Keys of a report whose values depend on the machine, or on how often the run was interrupted."""


def drop(report: Any) -> Any:
    """The report without what depends on the machine, at any depth.

    >>> drop({"bundles": {"a": {"accuracy": 0.8, "cold_start_s": 1.2}}, "seconds": 3})
    {'bundles': {'a': {'accuracy': 0.8}}}
    """
    if isinstance(report, Mapping):
        return {key: drop(item) for key, item in report.items() if key not in MACHINE_KEYS}
    return [drop(item) for item in report] if isinstance(report, list) else report


def difference(whole: Any, part: Any) -> Any:
    """The rest of `whole` that `merge` adds to `part`, in the same shape; both as JSON has them, without NaN.

    >>> difference({"a": 1, "b": [{"c": 2, "d": 3}]}, {"a": 1, "b": [{"c": 2}]})
    {'b': [{'d': 3}]}
    """
    if isinstance(whole, Mapping) and isinstance(part, Mapping):
        lacking = {key: item for key, item in whole.items() if key not in part or item != part[key]}
        return {key: difference(item, part[key]) if key in part else item for key, item in lacking.items()}
    if _aligned(whole, part):
        return [difference(one, other) for one, other in zip(whole, part, strict=True)]
    return whole


def merge(part: Any, rest: Any) -> Any:
    """`part` with what `rest` has of it; lists of objects are merged object by object.

    >>> merge({"a": 1, "b": [{"c": 2}]}, {"b": [{"d": 3}]})
    {'a': 1, 'b': [{'c': 2, 'd': 3}]}
    """
    if isinstance(part, Mapping) and isinstance(rest, Mapping):
        both = {key: merge(part[key], rest[key]) for key in part if key in rest}
        return {**part, **rest, **both}
    if _aligned(part, rest):
        return [merge(one, other) for one, other in zip(part, rest, strict=True)]
    return rest


def _aligned(one: Any, other: Any) -> bool:
    """Whether both are lists of as many objects."""
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return False
    return bool(one) and all(isinstance(item, Mapping) for item in (*one, *other))
