"""Guardrail metrics, which stop an experiment: failures, slowness, complaints, a group served worse.

Each guard is a test that may be looked at at any time, and all share one chance of a false alarm. The bounds hold from
the first text on, so no group is too small to be tested: a small one only seldom gives certainty. A guard without it
stops nothing, or a rollout could never end where few texts speak of people; it is reported as open, not as kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from pydantic import Field

from ratchet.errors import ParamsError
from ratchet.experiments.evidence import Evidence, SplitEvidence
from ratchet.measure.estimate import Estimate
from ratchet.monitoring.slices import production_groups
from ratchet.params import Params
from ratchet.task import LengthEdges
from ratchet.trust.lexicons import NONE, SEVERAL, Lexicon
from ratchet.trust.slices import NO_PATTERNS, Patterns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


GROUP = "good answers, "
"""Prefix of the names of group guards."""


class GuardrailParams(Params):
    """Limits of the guardrails: the most by which the challenger may be worse than the champion."""

    alpha: float = Field(gt=0.0, lt=0.5)
    """Chance that any guard ever stops a challenger that keeps all limits."""
    slow_ms: float = Field(gt=0.0)
    """From which latency an answer is slow, in milliseconds."""
    max_failed_increase: float = Field(ge=0.0, le=1.0)
    """By how much the rate of failed answers may rise."""
    max_slow_increase: float = Field(ge=0.0, le=1.0)
    """By how much the rate of slow answers may rise."""
    max_complaint_increase: float = Field(ge=0.0, le=1.0)
    """By how much the rate of answers that users complain of may rise; asked where users see both models."""
    features: list[str]
    """Features that define groups: length, a feature of data/lexicons/features.yaml, or a column of the log."""
    attributes: list[str]
    """Attributes of data/lexicons/identity.yaml, grouped likewise: the people whom a text speaks of; sensitive."""
    length_edges: LengthEdges
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

    @property
    def kept(self) -> bool:
        """Whether it is certain, likewise, that the harm is within the limit; with neither, the guard is open."""
        return self.harm.high <= self.limit

    def to_json(self) -> dict[str, Any]:
        """The guard as a JSON object."""
        state = "stops" if self.stops else "kept" if self.kept else "open"
        return {"name": self.name, "harm": self.harm.to_json(), "limit": self.limit, "state": state}


def guards(
    seen: Evidence, params: GuardrailParams, lexicon: Lexicon | None, patterns: Patterns = NO_PATTERNS
) -> list[Guard]:
    """All guards on what was seen: of features, those of the groups that were; of attributes, those of all groups.

    The chance of a false alarm is shared equally by failures, slowness, complaints and fairness, and within fairness by
    the groups. It is a one-sided one, so that the two-sided interval gets twice of it.

    Args:
        seen: the evidence.
        params: the limits.
        lexicon: terms of the attributes; None only where there are none.
        patterns: the task's own features.

    Raises:
        ParamsError: an attribute has no terms.
    """
    level = 2.0 * params.alpha / 4.0
    found = [
        Guard("failed answers", seen.difference("failed", level), params.max_failed_increase),
        Guard("slow answers", seen.difference("slow", level), params.max_slow_increase),
    ]
    if isinstance(seen, SplitEvidence):
        found.append(Guard("complaints", seen.difference("complained", level), params.max_complaint_increase))
    masks = _masks(seen.frame, params, lexicon, patterns)
    n_groups = max(len(masks), _n_possible(params, lexicon))
    for name, mask in masks.items():
        gain = seen.difference("good", level / n_groups, mask)
        found.append(Guard(f"{GROUP}{name}", _negative(gain), params.max_group_loss))
    return found


def stopping_guards(found: Sequence[Guard]) -> list[str]:
    """The names of the guards that stop the experiment."""
    return [guard.name for guard in found if guard.stops]


def open_groups(found: Sequence[Guard]) -> list[str]:
    """The groups of which it is not certain that they are served well enough, with their texts: 'gender=men (12)'."""
    return [
        f"{guard.name.removeprefix(GROUP)} ({guard.harm.n})"
        for guard in found
        if guard.name.startswith(GROUP) and not guard.stops and not guard.kept
    ]


def _masks(
    frame: pd.DataFrame, params: GuardrailParams, lexicon: Lexicon | None, patterns: Patterns
) -> dict[str, NDArray[np.bool_]]:
    """The rows of each group, (n,), by its name; a group of people has one although no text speaks of them."""
    if params.attributes and lexicon is None:
        raise ParamsError(
            "Attributes need a lexicon.",
            where="rollout.guardrails.attributes",
            got=params.attributes,
            fix="read data/lexicons/identity.yaml, or name no attribute",
        )
    features = params.features if len(frame) else []
    groups = production_groups(frame, features, params.length_edges, params.attributes, lexicon, patterns)
    masks = {}
    for feature, of_texts in groups.items():
        people = _people(lexicon, feature) if lexicon and feature in params.attributes else []
        for group in sorted({*of_texts.tolist(), *people}):
            masks[f"{feature}={group}"] = of_texts == group
    return masks


def _n_possible(params: GuardrailParams, lexicon: Lexicon | None) -> int:
    """By how many groups the level is divided: all that texts can be of, seen or not, so that it is fixed."""
    people = sum(len(_people(lexicon, attribute)) for attribute in params.attributes) if lexicon else 0
    return people + sum(3 if feature == "length" else 2 for feature in params.features)


def _people(lexicon: Lexicon, attribute: str) -> list[str]:
    """All groups that texts can be of under an attribute."""
    groups = list(lexicon.attributes[attribute])
    return [*groups, NONE, SEVERAL] if len(groups) > 1 else [*groups, NONE]


def _negative(gain: Estimate) -> Estimate:
    return Estimate(-gain.value, -gain.high, -gain.low, gain.n, gain.reason)
