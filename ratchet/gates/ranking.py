"""The ranking of candidates by the task's aim, with ties for what is only noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.files import read_json

QUALITY = "primary"
"""The primary metric, as a loss against the teacher: smaller is better whatever the metric."""

Bundles = Mapping[str, Mapping[str, Any]]
"""Name → bundle as `evaluate` reports it: `{"metrics": {metric: {"value": ...}, ...}, ...}`."""


@dataclass(frozen=True)
class Ties:
    """Differences that count as none: rates of the smallest for what is small, points for quality."""

    size: float
    """Of megabytes, on disk and in memory."""
    latency: float
    """Of milliseconds and of what they cost."""
    quality: float
    """Of the primary metric."""


AIMS = {
    "size": ("size_mb", "latency_p95_ms"),
    "latency": ("latency_p95_ms", "size_mb"),
    "memory": ("peak_memory_mb", "latency_p95_ms"),
    "cost": ("cost_per_million_usd", "size_mb"),
    "quality": (QUALITY, "latency_p95_ms"),
}
"""Aim → the metric that decides, and the one that decides among those that are alike by the first."""
WORDS = {
    "size_mb": ("smallest", "larger"),
    "peak_memory_mb": ("leanest in memory", "larger in memory"),
    "latency_p95_ms": ("fastest at p95 (batch 1)", "slower"),
    "cost_per_million_usd": ("cheapest", "more expensive"),
    QUALITY: ("most accurate by the primary metric", "points behind"),
}
"""Metric → what its best bundle is, and what the others are."""


def rank(bundles: Bundles, aim: str, ties: Ties) -> list[str]:
    """The names of all bundles, the best first; `rule_sentence` says the rule in words.

    The order of the mapping does not matter. A bundle whose figure is undefined comes last among its equals.

    >>> def bundle(size, latency):
    ...     return {"metrics": {"size_mb": {"value": size}, "latency_p95_ms": {"value": latency}}}
    >>> found = {"a": bundle(20, 9.0), "b": bundle(21, 5.0), "c": bundle(90, 1.0)}
    >>> rank(found, "size", Ties(0.1, 0.25, 0.005)), rank(found, "latency", Ties(0.1, 0.25, 0.005))
    (['b', 'a', 'c'], ['c', 'b', 'a'])
    """
    groups = [sorted(bundles)]
    for metric in AIMS[aim]:
        groups = [alike for group in groups for alike in _tie_groups(group, bundles, metric, ties)]
    return [name for group in groups for name in group]


def contenders(bundles: Bundles, max_loss: float, aim: str, ties: Ties) -> list[str]:
    """The deployable bundles whose primary metric is near enough to the teacher's, in the order of `rank`.

    They are worse by at most `max_loss`, in the metric's own scale (rates, or the cost matrix's unit). A bundle whose
    loss is not measured is passed over, but for the teacher itself.
    """
    deployable = {name: item for name, item in bundles.items() if item.get("deployable")}
    return [name for name in rank(deployable, aim, ties) if _loss(name, bundles[name]) <= max_loss]


def read_shortlist(path: Path) -> list[str]:
    """The names of the shortlisted bundles, the best first, from the report of the stage `shortlist`."""
    names: list[str] = read_json(path)["shortlist"]
    return names


def rule_sentence(aim: str, ties: Ties) -> str:
    """The rule of `rank` in words, for reports.

    >>> rule_sentence("size", Ties(0.1, 0.25, 0.005)).startswith("The smallest bundle comes first;")
    True
    """
    first, second = AIMS[aim]
    return (
        f"The {WORDS[first][0]} bundle comes first; those at most {_tie_words(first, ties)} than it count as its "
        f"equals, and among them the {WORDS[second][0]} comes first; those at most {_tie_words(second, ties)} come in "
        "the order of their names. The first bundle in this order that passes every gate is chosen."
    )


def _tie_words(metric: str, ties: Ties) -> str:
    tie = ties.quality * 100 if metric == QUALITY else _tie(metric, ties)
    return f"{tie:g} {WORDS[metric][1]}" if metric == QUALITY else f"{tie:.0%} {WORDS[metric][1]}"


def _tie(metric: str, ties: Ties) -> float:
    return ties.size if metric.endswith("_mb") else ties.latency


def _tie_groups(names: list[str], bundles: Bundles, metric: str, ties: Ties) -> list[list[str]]:
    """The names, sorted by name, in groups: each holds what lies within the tie of the best remaining."""
    values = {name: _value(name, bundles[name], metric) for name in names}
    groups: list[list[str]] = []
    remaining = list(names)
    while remaining:
        best = min(values[name] for name in remaining)
        limit = best + ties.quality if metric == QUALITY else best * (1 + _tie(metric, ties))
        group = [name for name in remaining if values[name] <= limit]
        groups.append(group)
        remaining = [name for name in remaining if name not in group]
    return groups


def _value(name: str, bundle: Mapping[str, Any], metric: str) -> float:
    """The point estimate; infinite when it is undefined, so that the unmeasured never comes first."""
    if metric == QUALITY:
        return _loss(name, bundle)
    value = bundle.get("metrics", {}).get(metric, {}).get("value")
    return math.inf if value is None or math.isnan(value) else float(value)


def _loss(name: str, bundle: Mapping[str, Any]) -> float:
    """By how much the primary metric is worse than the teacher's; infinite when that was not measured."""
    if name == "teacher":
        return 0.0
    value = bundle.get("against", {}).get("teacher", {}).get(QUALITY, {}).get("value")
    return math.inf if value is None or math.isnan(value) else -float(value)
