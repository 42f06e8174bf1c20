"""Gates as data: what a bundle must measure to be promoted, and the verdict of each in words.

What was not measured has not passed: NaN or a missing metric fails its gate. The interval rule, which asks that
the pessimistic end of the 95 % interval keeps the bound, is a one-sided test at 2.5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from ratchet.measure.estimate import Estimate, undefined
from ratchet.params import Params
from ratchet.release.formats import bound_text, estimate_text
from ratchet.release.reports import DIFFERENCES, against_of, metric_of

CHAMPION = "champion"
WORDS = {"at_least": "at least", "at_most": "at most"}


class Gate(Params):
    """One condition on one metric."""

    metric: str = Field(min_length=1)
    """Name of the metric in the reports of evaluate, audit or explain."""
    against: Literal["absolute", "baseline", "teacher", "champion"]
    """What the bound is about: the metric itself, or how it compares with that bundle's: the difference for
    accuracy and macro-F1, the ratio for latency, size, memory and cost."""
    comparison: Literal["at_least", "at_most"]
    """Whether the metric must not fall below, or not rise above, the bound."""
    bound: float
    """The bound, in the metric's unit, or as a difference or ratio. The bound itself passes."""
    rule: Literal["value", "interval"]
    """What must keep the bound: the point estimate, or the pessimistic end of its 95 % interval."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says of one bundle."""

    metric: str
    against: str
    comparison: str
    bound: float
    rule: str
    value: float
    low: float
    high: float
    applies: bool
    passed: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object; NaN becomes null when written."""
        return asdict(self)


def check_gate(gate: Gate, name: str, bundle: Mapping[str, Any], *, has_champion: bool) -> Verdict:
    """Whether the bundle passes the gate, and why.

    A gate against the champion does not apply, and so passes, while there is no champion.
    """
    if gate.against == CHAMPION and not has_champion:
        none = undefined("there is no champion yet")
        return _verdict(gate, none, True, f"{_subject(gate)}: not applicable, there is no champion yet", applies=False)
    measured = (
        metric_of(bundle, gate.metric)
        if gate.against == "absolute"
        else against_of(name, bundle, gate.against, gate.metric)
    )
    judged = _judged(gate, measured)
    if math.isnan(judged):
        why = measured.reason or ("it has no interval" if not math.isnan(measured.value) else "its value is undefined")
        return _verdict(gate, measured, False, f"{_subject(gate)} is not known ({why}): failed")
    passed = judged >= gate.bound if gate.comparison == "at_least" else judged <= gate.bound
    return _verdict(gate, measured, passed, _sentence(gate, measured, passed))


def check_gates(gates: Sequence[Gate], name: str, bundle: Mapping[str, Any], *, has_champion: bool) -> dict[str, Any]:
    """`{"passed": whether all passed, "gates": [a verdict each, in the order given]}`."""
    verdicts = [check_gate(gate, name, bundle, has_champion=has_champion) for gate in gates]
    return {"passed": all(verdict.passed for verdict in verdicts), "gates": [item.to_json() for item in verdicts]}


def _judged(gate: Gate, measured: Estimate) -> float:
    """The number that must keep the bound; NaN where the estimate is undefined."""
    if gate.rule == "value" or math.isnan(measured.value):
        return measured.value
    return measured.low if gate.comparison == "at_least" else measured.high


def _subject(gate: Gate) -> str:
    if gate.against == "absolute":
        return gate.metric
    return f"{gate.metric} {'minus' if gate.metric in DIFFERENCES else 'divided by'} the {gate.against}'s"


def _sentence(gate: Gate, measured: Estimate, passed: bool) -> str:
    """E.g. `accuracy minus the baseline's is 0.097 [0.087, 0.107], its low end at least 0: passed`."""
    end = {"value": "", "interval": "its low end " if gate.comparison == "at_least" else "its high end "}[gate.rule]
    told = f"{end}{'' if passed else 'not '}{WORDS[gate.comparison]} {bound_text(gate.bound)}"
    return f"{_subject(gate)} is {estimate_text(measured)}, {told}: {'passed' if passed else 'failed'}"


def _verdict(gate: Gate, measured: Estimate, passed: bool, reason: str, *, applies: bool = True) -> Verdict:
    return Verdict(
        **gate.model_dump(), value=measured.value, low=measured.low, high=measured.high,
        applies=applies, passed=passed, reason=reason,
    )  # fmt: skip
