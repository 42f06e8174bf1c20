"""In which order bundles are wanted: the smallest first, then the fastest, with ties for what is only noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Bundles = Mapping[str, Mapping[str, Any]]
"""Name → bundle as `evaluate` reports it: `{"metrics": {metric: {"value": ...}, ...}, ...}`."""


def rank(bundles: Bundles, size_tie: float, latency_tie: float) -> list[str]:
    """The names of all bundles, the most wanted first; `rule_sentence` says the rule in words.

    The order of the mapping does not matter. A bundle whose size or p95 latency is undefined comes last among its
    equals. Ties are rates: 0.1 means that a bundle up to 10 % larger than the smallest counts as equally small.

    >>> def bundle(size, latency):
    ...     return {"metrics": {"size_mb": {"value": size}, "latency_p95_ms": {"value": latency}}}
    >>> rank({"a": bundle(20, 9.0), "b": bundle(21, 5.0), "c": bundle(90, 1.0)}, size_tie=0.1, latency_tie=0.25)
    ['b', 'a', 'c']
    """
    order: list[str] = []
    for same_size in _tie_groups(sorted(bundles), lambda name: _value(bundles[name], "size_mb"), size_tie):
        for same_speed in _tie_groups(same_size, lambda name: _value(bundles[name], "latency_p95_ms"), latency_tie):
            order.extend(same_speed)
    return order


def contenders(bundles: Bundles, max_loss: float, size_tie: float, latency_tie: float) -> list[str]:
    """The deployable bundles whose primary metric is near enough to the teacher's, in the order of `rank`.

    They are worse by at most `max_loss`, in the metric's own scale (rates, or the cost matrix's unit). A bundle whose
    loss is not measured is passed over, but for the teacher itself.
    """

    def loss(name: str) -> float:
        value = bundles[name].get("against", {}).get("teacher", {}).get("primary", {}).get("value")
        return 0.0 if name == "teacher" else math.inf if value is None else -float(value)

    deployable = {name: item for name, item in bundles.items() if item.get("deployable")}
    return [name for name in rank(deployable, size_tie, latency_tie) if loss(name) <= max_loss]


def rule_sentence(size_tie: float, latency_tie: float) -> str:
    """The rule of `rank` in words, for reports.

    >>> rule_sentence(0.1, 0.25).startswith("The smallest bundle comes first;")
    True
    """
    return (
        f"The smallest bundle comes first; bundles at most {size_tie:.0%} larger than the smallest remaining one count "
        f"as equally small, and among them the fastest at p95 (batch 1) comes first; those at most {latency_tie:.0%} "
        "slower than the fastest count as equally fast and come in the order of their names. "
        "The first bundle in this order that passes every gate is chosen."
    )


def _tie_groups(names: list[str], measure: Callable[[str], float], tie: float) -> list[list[str]]:
    """The names, sorted by name, in groups: each holds what lies within the tie of the smallest remaining."""
    groups: list[list[str]] = []
    remaining = list(names)
    while remaining:
        smallest = min(measure(name) for name in remaining)
        group = [name for name in remaining if measure(name) <= smallest * (1 + tie)]
        groups.append(group)
        remaining = [name for name in remaining if name not in group]
    return groups


def _value(bundle: Mapping[str, Any], metric: str) -> float:
    """The point estimate; infinite when it is undefined, so that the unmeasured never comes first."""
    value = bundle.get("metrics", {}).get(metric, {}).get("value")
    return math.inf if value is None or math.isnan(value) else float(value)
