"""Estimates: a value with its interval and sample size, the form of every measurement in reports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A value, its 95 % interval, how many observations it rests on, and the reason when it is undefined.

    An exact figure (a size on disk) has `low == value == high`. An undefined one is NaN and says why;
    a gate treats NaN as a failure.
    """

    value: float
    low: float
    high: float
    n: int
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The estimate as a JSON object; NaN becomes null when written."""
        return {name: item for name, item in asdict(self).items() if name != "reason" or item}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Estimate:
        """An estimate read back; null is NaN again."""
        number = {k: math.nan if value[k] is None else float(value[k]) for k in ("value", "low", "high")}
        return cls(n=int(value["n"]), reason=str(value.get("reason", "")), **number)


def estimates_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Metric → its estimate as a JSON object."""
    return {name: estimate.to_json() for name, estimate in estimates.items()}


def exact(value: float, n: int = 1) -> Estimate:
    """A figure without uncertainty.

    >>> exact(2.0).low
    2.0
    """
    return Estimate(value, value, value, n)


def undefined(reason: str, n: int = 0) -> Estimate:
    """An undefined figure (NaN), with its reason."""
    return Estimate(math.nan, math.nan, math.nan, n, reason)
