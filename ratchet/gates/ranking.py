"""The ranking of candidates: those that lose little against the best come first, by the task's aim.

Quality is a condition and efficiency the aim. A bundle loses little where the one-sided upper bound of its loss against
the best, on the same texts, lies within what may be lost: what is not shown to be nearly as good is not preferred for
being cheap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ratchet.files import read_json

QUALITY = "primary"
"""The primary metric, as a loss against the best bundle: smaller is better whatever the metric."""
BEST = "best"
"""The reference that the losses are about, as `evaluate` names it."""

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
    "quality": (QUALITY, "size_mb"),
}
"""Aim → the metric that decides, and the one that decides among those that are alike by the first. Beside quality it is
the size, as bytes are the same on every machine and milliseconds are not."""
WORDS = {
    "size_mb": ("smallest", "larger"),
    "peak_memory_mb": ("leanest in memory", "larger in memory"),
    "latency_p95_ms": ("fastest at p95 (batch 1)", "slower"),
    "cost_per_million_usd": ("cheapest", "more expensive"),
    QUALITY: ("most accurate by the primary metric", "points behind"),
}
"""Metric → what its best bundle is, and what the others are."""


class Candidates(NamedTuple):
    """Names of bundles, the best first."""

    near: list[str]
    """Those that lose little against the best."""
    ranking: list[str]
    """All of them."""


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


def candidates_in_order(bundles: Bundles, max_loss: float, confidence: float, aim: str, ties: Ties) -> Candidates:
    """All bundles in the order in which they are tried.

    Those whose loss against the best is shown to be at most `max_loss`, in the metric's own scale (rates, or the cost
    matrix's unit), come first, in the order of `rank`; then the others, the most accurate first. So where the best is
    beyond a limit and nothing is shown to be near it, the most accurate within the limits comes first.
    """
    near = [name for name in bundles if upper_loss(bundles[name], confidence) <= max_loss]
    others = {name: item for name, item in bundles.items() if name not in near}
    preferred = rank({name: bundles[name] for name in near}, aim, ties)
    return Candidates(preferred, [*preferred, *rank(others, "quality", ties)])


def most_accurate(bundles: Bundles) -> str | None:
    """The bundle that loses least against the best one, of equals the first by name; None: there is none."""
    return min(sorted(bundles), key=lambda name: _loss(bundles[name]), default=None)


def upper_loss(bundle: Mapping[str, Any], confidence: float) -> float:
    """Upper bound, at that one-sided confidence, of what the bundle loses against the best; infinite where unknown.

    0 for the best itself. By the normal approximation from the 95 % interval of the paired difference.

    >>> found = {"against": {"best": {"primary": {"value": -0.01, "low": -0.0296, "high": 0.0096}}}}
    >>> round(upper_loss(found, 0.8), 4)  # 1 point, and 0.84 standard errors of 1 point
    0.0184
    """
    from scipy.stats import norm

    if bundle.get("is_best"):
        return 0.0
    difference = bundle.get("against", {}).get(BEST, {}).get(QUALITY, {})
    value, low = (difference.get(key) for key in ("value", "low"))
    if value is None or low is None or math.isnan(value) or math.isnan(low):
        return math.inf
    return float(-value + norm.ppf(confidence) * (value - low) / norm.ppf(0.975))


def texts_needed(bundle: Mapping[str, Any], max_loss: float, confidence: float) -> int | None:
    """Texts, about, on which a loss as small as the measured one would be shown to be within `max_loss`.

    None where it is shown already, is no smaller than `max_loss`, or is not known. The bound's distance from the loss
    falls with the root of the number of texts.

    >>> found = {"against": {"best": {"primary": {"value": -0.01, "low": -0.0296, "high": 0.0096, "n": 800}}}}
    >>> texts_needed(found, 0.015, 0.8), texts_needed(found, 0.02, 0.8)
    (2267, None)
    """
    loss, upper = _loss(bundle), upper_loss(bundle, confidence)
    if not loss < max_loss < upper < math.inf:
        return None
    n = int(bundle["against"][BEST][QUALITY]["n"])
    return math.ceil(n * ((upper - loss) / (max_loss - loss)) ** 2)


def read_shortlist(path: Path) -> list[str]:
    """The names of the shortlisted bundles, the best first, from the report of the stage `shortlist`."""
    names: list[str] = read_json(path)["shortlist"]
    return names


def rule_sentence(aim: str, ties: Ties, max_loss: float, confidence: float) -> str:
    """The rule of `candidates_in_order` in words, for reports.

    >>> rule_sentence("size", Ties(0.1, 0.25, 0.005), 0.015, 0.8)[:75]
    'Of the bundles that lose at most 0.015 of the primary metric against the be'
    """
    first, second = AIMS[aim]
    return (
        f"Of the bundles that lose at most {max_loss:g} of the primary metric against the best one, at "
        f"{confidence:.0%} confidence, the {WORDS[first][0]} comes first; those at most {_tie_words(first, ties)} than "
        f"it count as its equals, and among them the {WORDS[second][0]} comes first; those at most "
        f"{_tie_words(second, ties)} come in the order of their names. The others follow, the most accurate first. The "
        "first bundle in this order that passes every gate is chosen."
    )


def _tie_words(metric: str, ties: Ties) -> str:
    tie = ties.quality * 100 if metric == QUALITY else _tie(metric, ties)
    return f"{tie:g} {WORDS[metric][1]}" if metric == QUALITY else f"{tie:.0%} {WORDS[metric][1]}"


def _tie(metric: str, ties: Ties) -> float:
    return ties.size if metric.endswith("_mb") else ties.latency


def _tie_groups(names: list[str], bundles: Bundles, metric: str, ties: Ties) -> list[list[str]]:
    """The names, sorted by name, in groups: each holds what lies within the tie of the best remaining."""
    values = {name: _value(bundles[name], metric) for name in names}
    groups: list[list[str]] = []
    remaining = list(names)
    while remaining:
        best = min(values[name] for name in remaining)
        limit = best + ties.quality if metric == QUALITY else best * (1 + _tie(metric, ties))
        group = [name for name in remaining if values[name] <= limit]
        groups.append(group)
        remaining = [name for name in remaining if name not in group]
    return groups


def _value(bundle: Mapping[str, Any], metric: str) -> float:
    """The point estimate; infinite when it is undefined, so that the unmeasured never comes first."""
    if metric == QUALITY:
        return _loss(bundle)
    value = bundle.get("metrics", {}).get(metric, {}).get("value")
    return math.inf if value is None or math.isnan(value) else float(value)


def _loss(bundle: Mapping[str, Any]) -> float:
    """By how much the primary metric is worse than the best bundle's; infinite when that was not measured."""
    if bundle.get("is_best"):
        return 0.0
    value = bundle.get("against", {}).get(BEST, {}).get(QUALITY, {}).get("value")
    return math.inf if value is None or math.isnan(value) else -float(value)
