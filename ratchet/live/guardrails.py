"""What stops an experiment, however good the challenger is otherwise: failures, slowness, a group served worse.

Each guard is a test that may be looked at at any time, and all share one chance of a false alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from ratchet.live.evidence import Seen
from ratchet.measure.estimate import Estimate
from ratchet.params import Params
from ratchet.trust.slices import slice_masks


class GuardrailParams(Params):
    """How much worse than the champion's the challenger's answers may be."""

    alpha: float = Field(gt=0.0, lt=0.5)
    """Chance that any guard ever stops a challenger that keeps all limits."""
    slow_ms: float = Field(gt=0.0)
    """From which latency an answer is slow, in milliseconds."""
    max_failed_increase: float = Field(ge=0.0, le=1.0)
    """By how much the rate of failed answers may rise."""
    max_slow_increase: float = Field(ge=0.0, le=1.0)
    """By how much the rate of slow answers may rise."""
    features: list[str]
    """What groups are made of: length, negation, rating, or a column of the log."""
    length_edges: list[int] = Field(min_length=2, max_length=2)
    """The most words of a short text, and of a medium one."""
    max_group_loss: float = Field(ge=0.0, le=1.0)
    """By how much the rate of good answers may fall in any group."""


@dataclass(frozen=True)
class Guard:
    """One guard: the harm done, with its interval, and the most that is allowed."""

    name: str
    harm: Estimate
    """Challenger minus champion; higher is worse."""
    limit: float

    @property
    def stops(self) -> bool:
        """Whether it is certain, at the level shared by all guards, that the harm is above the limit."""
        return self.harm.low > self.limit

    def to_json(self) -> dict[str, Any]:
        """The guard as a JSON object."""
        return {"name": self.name, "harm": self.harm.to_json(), "limit": self.limit, "stops": self.stops}


def guards(seen: Seen, params: GuardrailParams) -> list[Guard]:
    """All guards on what was seen; groups of which nothing was seen have none.

    The chance of a false alarm is shared equally by failures, slowness and fairness, and within fairness by the groups.
    It is a one-sided one, so that the two-sided interval gets twice of it.
    """
    level = 2.0 * params.alpha / 3.0
    found = [
        Guard("failed answers", seen.difference("failed", level), params.max_failed_increase),
        Guard("slow answers", seen.difference("slow", level), params.max_slow_increase),
    ]
    masks = slice_masks(seen.frame, params.features, params.length_edges) if len(seen.frame) else {}
    for name, mask in masks.items():
        gain = seen.difference("good", level / _n_groups(params.features, len(masks)), mask)
        found.append(Guard(f"good answers, {name}", _negative(gain), params.max_group_loss))
    return found


def stopping(found: Sequence[Guard]) -> list[str]:
    """The names of the guards that stop the experiment."""
    return [guard.name for guard in found if guard.stops]


def _n_groups(features: Sequence[str], n_seen: int) -> int:
    """By how many groups the level is divided: all that a text feature can have, seen or not, so that it is fixed."""
    return max(n_seen, sum(3 if feature == "length" else 2 for feature in features))


def _negative(gain: Estimate) -> Estimate:
    return Estimate(-gain.value, -gain.high, -gain.low, gain.n, gain.reason)
