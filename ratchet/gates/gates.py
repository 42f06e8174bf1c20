"""Gates as data: what a bundle must measure to be promoted, and the verdict of each in words.

What was not measured has not passed by silence: NaN or a missing metric fails its gate, or is waived where the gate
itself says so, and then the verdict says that nothing was judged. Only where a report says that the task has no cases
for a metric is its gate not asked: it does not apply, and the verdict says why.

Each verdict says what was shown: *kept* (the whole 95 % interval keeps the bound), *harm* (none of it does), or *open*,
and then how many texts would settle it. The rule says which of these pass. `interval` asks for *kept*, a one-sided test
at 2.5 %, against a released bundle a non-inferiority test on the same texts; `harm` refuses what is shown to break the
bound and nothing else; `value` looks at the point estimate alone. Of many slices one lies beyond a bound by chance:
`harm` is shown of a slice at 1 % divided by their number (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pydantic import Field

from ratchet.gates.measured_reports import DIFFERENCES, against_of, metric_of, slices_of
from ratchet.measure.estimate import Estimate, undefined
from ratchet.measure.formats import bound_text, estimate_text
from ratchet.measure.machine_figures import MACHINE_METRICS
from ratchet.params import Params

CHAMPION, MARK = "champion", "high_water_mark"
RELEASED = {CHAMPION: "champion", MARK: "high-water mark"}
"""References that are released bundles, of which there are none before the first release → in words."""
TEACHER = "teacher"
OPTIONAL = {**RELEASED, TEACHER: TEACHER}
"""References that a run may be without: where a simple model is best, no teacher is trained."""
WORDS = {"at_least": "at least", "at_most": "at most"}
ENDS = {"value": "", "at_least": "its low end ", "at_most": "its high end "}
BEYOND = {"at_least": "below", "at_most": "above"}
LEVEL = 0.025
"""Error of a one-sided test by one end of a 95 % interval."""
SLICE_LEVEL = 0.01
"""Error of a gate over all slices together: a task has several such gates, and each could refuse a sound model."""
MAX_OPENINGS = 20
"""Openings that the same test texts may have at most, see `mark_gate`."""
MARK_LEVEL = 0.05 / MAX_OPENINGS
"""Error of the test against the high-water mark: over all openings of the same test texts it is 5 %."""
GAPS = ("_difference", "_gap", "_ratio")
"""Endings of metrics that are the largest difference, or the smallest ratio, of several groups."""
Shown = Literal["kept", "harm", "open", "unknown"]


class Gate(Params):
    """One condition on one metric."""

    metric: str = Field(min_length=1)
    """Name of the metric in the reports of evaluate, audit, behave or explain."""
    scope: Literal["bundle", "every_slice"]
    """Whether the bundle's own figure is held against the bound, or that of every slice of the texts."""
    against: Literal["absolute", "majority", "baseline", "best", "teacher", "champion", "high_water_mark"]
    """What the bound is about: the metric itself, or how it compares with that bundle's: the difference for
    accuracy and macro-F1, the ratio for latency, size, memory and cost. `majority` always answers the commonest class;
    `best` is the deployable bundle with the best primary metric, `high_water_mark` the best bundle ever released."""
    comparison: Literal["at_least", "at_most"]
    """Whether the metric must not fall below, or not rise above, the bound."""
    bound: float
    """The bound, in the metric's unit, or as a difference or ratio. The bound itself passes."""
    rule: Literal["value", "interval", "harm"]
    """What must keep the bound: the point estimate, the pessimistic end of its 95 % interval, or the optimistic end:
    then only what is shown to break the bound fails."""
    when_undefined: Literal["fail", "waive"]
    """What follows where the figure is not known: the gate fails, or it is waived and the decision says so. Of slices
    this holds one by one; where none is known, only a gate that refuses shown harm is waived, the others fail."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says of one bundle. Over slices, the figures are those of the worst slice."""

    metric: str
    scope: str
    against: str
    comparison: str
    bound: float
    rule: str
    when_undefined: str
    value: float
    low: float
    high: float
    applies: bool
    passed: bool
    reason: str
    shown: Shown = "unknown"
    """Whether the 95 % interval lies within the bound, beyond it, or on both sides."""
    n_needed: int | None = None
    """Texts, about, whose interval would lie on one side; null where it does, or where the value is the bound."""
    waived: list[str] = field(default_factory=list)
    """What was not known and was let pass because the gate says so: the slices, or the metric itself."""
    failing: list[str] = field(default_factory=list)
    """The slices that fail; empty for a gate on the bundle's own figure."""
    see: str = ""
    """The file with the examples behind the figure, or the report that measured it."""

    def to_json(self) -> dict[str, Any]:
        """The verdict as a JSON object; NaN becomes null when written."""
        return asdict(self)


def mark_gate(max_total_loss: float) -> Gate:
    """The gate that keeps losses from adding up over releases: non-inferiority to the best bundle ever released.

    Both are scored on the same texts of the sealed test. The loss must be shown to be within `max_total_loss`, at an
    error of 5 % over the twenty openings that test texts may have at most (Bonferroni: whoever tries often enough gets
    lucky once). Not to be worse than the release before would let a small loss pass each time.
    Source: D'Agostino, Massaro & Sullivan 2003, Non-inferiority trials (on biocreep),
    https://doi.org/10.1002/sim.1425
    """
    return Gate(
        metric="primary",
        scope="bundle",
        against="high_water_mark",
        comparison="at_least",
        bound=-max_total_loss,
        rule="interval",
        when_undefined="fail",
    )


def check_gate(gate: Gate, name: str, bundle: Mapping[str, Any], *, there: Collection[str]) -> Verdict:
    """Whether the bundle passes the gate, and why.

    A gate against one of `OPTIONAL` that is not among `there` does not apply, and so passes; nor does one on the
    bundle's own figure of which a report says that the task has no cases (`without_cases`).
    """
    see = str(bundle.get("see", {}).get(gate.metric if gate.scope == "bundle" else f"{gate.metric} by slice", ""))
    if gate.against in OPTIONAL and gate.against not in there:
        why = f"there is no {OPTIONAL[gate.against]}{' yet' if gate.against in RELEASED else ''}"
        told = f"{_subject(gate)}: not applicable, {why}"
        return _verdict(gate, undefined(why), True, told, applies=False, see=see)
    if gate.scope == "every_slice":
        return _over_slices(gate, slices_of(name, bundle, gate.against, gate.metric), see)
    measured = (
        metric_of(bundle, gate.metric)
        if gate.against == "absolute"
        else against_of(name, bundle, gate.against, gate.metric)
    )
    if gate.against == MARK and gate.rule == "interval":
        measured = _at_level(measured, MARK_LEVEL)
    if math.isnan(_judged(gate, measured)):
        if reason := bundle.get("without_cases", {}).get(gate.metric):
            told = f"{_subject(gate)}: not asked, no cases: {reason}"
            return _verdict(gate, undefined(reason), True, told, applies=False, see=see)
        waived = gate.when_undefined == "waive"
        told = f"{_subject(gate)} is not known ({_why(measured)}): {'waived' if waived else 'failed'}"
        return _verdict(gate, measured, waived, told, waived=[gate.metric] * waived, see=see)
    passed = _keeps(gate, measured)
    return _verdict(gate, measured, passed, _sentence(gate, measured, passed), see=see, **_evidence(gate, measured))


def check_gates(
    gates: Sequence[Gate], name: str, bundle: Mapping[str, Any], *, there: Collection[str]
) -> dict[str, Any]:
    """`{"passed": whether all passed, "gates": [a verdict each, in the order given]}`."""
    verdicts = [check_gate(gate, name, bundle, there=there) for gate in gates]
    return {"passed": all(verdict.passed for verdict in verdicts), "gates": [item.to_json() for item in verdicts]}


def without_figures(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict in its JSON form, without the figures where its metric depends on the machine."""
    if verdict["metric"] not in MACHINE_METRICS or not verdict["applies"]:
        return dict(verdict)
    gate = Gate(**{name: verdict[name] for name in Gate.model_fields})
    kept = {key: item for key, item in verdict.items() if key not in ("value", "low", "high", "shown", "n_needed")}
    if verdict["value"] is None or math.isnan(verdict["value"]):
        return {**kept, "reason": f"{_subject(gate)} is not known: {'waived' if verdict['passed'] else 'failed'}"}
    outcome = "passed" if verdict["passed"] else "failed"
    return {**kept, "reason": f"{_subject(gate)}: {_bounded(gate, verdict['passed'])}: {outcome}"}


def _over_slices(gate: Gate, slices: Mapping[str, Estimate], see: str) -> Verdict:
    """The verdict over all slices: the worst one's figures, and every slice that fails or is waived by name."""
    known = {name: item for name, item in slices.items() if not math.isnan(_judged(gate, item))}
    known = {name: _widened(gate, item, len(known)) for name, item in known.items()}
    if not known:
        none = undefined(_why(next(iter(slices.values()))) if slices else "no report measures it by slice")
        lenient = bool(slices) and gate.rule == "harm" and gate.when_undefined == "waive"
        told = f"{_subject(gate)} is known of no slice ({none.reason}): {'waived' if lenient else 'failed'}"
        return _verdict(gate, none, lenient, told, see=see, waived=list(slices) if lenient else [])
    sign = 1 if gate.comparison == "at_least" else -1
    worst = min(known, key=lambda name: (sign * _judged(gate, known[name]), name))
    unknown = [name for name in slices if name not in known]
    failing = [name for name, item in known.items() if not _keeps(gate, item)]
    refused = unknown if gate.when_undefined == "fail" else []
    passed = not failing and not refused
    told = f"{_subject(gate)}, worst of {len(slices)} slices in {worst}, {_compared(gate, known[worst], not failing)}"
    if unknown:
        verb = "failed" if refused else "waived"
        listed = ", ".join(unknown[:3]) + (f" and {len(unknown) - 3} more" if unknown[3:] else "")
        told += f"; not known of {listed} ({unknown[0]} {_why(slices[unknown[0]])}): {verb}"
    told += f": {'passed' if passed else 'failed'}"
    waived = [] if refused else unknown
    more = _evidence(gate, known[worst])
    return _verdict(gate, known[worst], passed, told, waived=waived, failing=[*failing, *refused], see=see, **more)


def _keeps(gate: Gate, measured: Estimate) -> bool:
    judged = _judged(gate, measured)
    return judged >= gate.bound if gate.comparison == "at_least" else judged <= gate.bound


def _judged(gate: Gate, measured: Estimate) -> float:
    """The number that must keep the bound; NaN where the estimate is undefined."""
    if gate.rule == "value" or math.isnan(measured.value):
        return measured.value
    pessimistic, optimistic = _ends(gate, measured)
    return pessimistic if gate.rule == "interval" else optimistic


def _ends(gate: Gate, measured: Estimate) -> tuple[float, float]:
    """The pessimistic and the optimistic end of the interval.

    A gap is the largest of several: by chance alone it is larger in a sample than it is in truth, and larger again in
    the draws of a bootstrap. So its interval lies on the harmful side of its value, and harm would be shown where
    there is none. Of gaps the longer half of the interval therefore counts on both sides.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 10.2 (bias).
    """
    ends = (measured.low, measured.high)
    if gate.rule == "harm" and gate.metric.endswith(GAPS):
        half = max(measured.value - measured.low, measured.high - measured.value)
        ends = (measured.value - half, measured.value + half)
    return ends if gate.comparison == "at_least" else (ends[1], ends[0])


def _widened(gate: Gate, measured: Estimate, n_slices: int) -> Estimate:
    """The estimate of one of several slices: its interval such that `harm` is shown of none of them by chance alone.

    The level is divided by the number of slices.
    Source: Dunn 1961, Multiple comparisons among means, https://doi.org/10.1080/01621459.1961.10482090
    """
    return measured if gate.rule != "harm" or n_slices < 2 else _at_level(measured, SLICE_LEVEL / n_slices)


def _at_level(measured: Estimate, level: float) -> Estimate:
    """The estimate with the interval of a test at that one-sided level, by the ratio of the normal quantiles."""
    from scipy.stats import norm

    factor = float(norm.isf(level) / norm.isf(LEVEL))
    low, high = (measured.value + factor * (end - measured.value) for end in (measured.low, measured.high))
    return replace(measured, low=low, high=high)


def _evidence(gate: Gate, measured: Estimate) -> dict[str, Any]:
    """What the interval shows of the bound, and the number of texts that would settle an open question.

    An interval narrows with the root of the number of texts.
    """
    sign = 1 if gate.comparison == "at_least" else -1
    pessimistic, optimistic = (sign * (end - gate.bound) for end in _ends(gate, measured))
    if math.isnan(pessimistic) or math.isnan(optimistic):
        return {}
    if pessimistic >= 0 or optimistic < 0:
        return {"shown": "kept" if pessimistic >= 0 else "harm"}
    distance = sign * (measured.value - gate.bound)
    half = distance - pessimistic if distance >= 0 else optimistic - distance
    narrow = abs(distance) <= 1e-9 or measured.n < 2
    return {"shown": "open", "n_needed": None if narrow else math.ceil(measured.n * (half / distance) ** 2)}


def _why(measured: Estimate) -> str:
    return measured.reason or ("it has no interval" if not math.isnan(measured.value) else "its value is undefined")


def _subject(gate: Gate) -> str:
    if gate.against == "absolute":
        return gate.metric
    other = RELEASED.get(gate.against, gate.against)
    return f"{gate.metric} {'minus' if gate.metric in DIFFERENCES else 'divided by'} the {other}'s"


def _sentence(gate: Gate, measured: Estimate, passed: bool) -> str:
    """E.g. `accuracy minus the baseline's is 0.097 [0.087, 0.107], its low end at least 0: passed`."""
    n_needed = _evidence(gate, measured).get("n_needed") if gate.rule != "value" else None
    more = f" (about {n_needed:,} texts would tell)" if n_needed else ""
    return f"{_subject(gate)} {_compared(gate, measured, passed)}{more}: {'passed' if passed else 'failed'}"


def _compared(gate: Gate, measured: Estimate, passed: bool) -> str:
    return f"is {estimate_text(measured)}, {_bounded(gate, passed)}"


def _bounded(gate: Gate, passed: bool) -> str:
    if gate.rule == "harm":
        return f"{'not ' if passed else ''}shown to be {BEYOND[gate.comparison]} {bound_text(gate.bound)}"
    end = ENDS["value" if gate.rule == "value" else gate.comparison]
    return f"{end}{'' if passed else 'not '}{WORDS[gate.comparison]} {bound_text(gate.bound)}"


def _verdict(
    gate: Gate, measured: Estimate, passed: bool, reason: str, *, applies: bool = True, **more: Any
) -> Verdict:
    return Verdict(
        **gate.model_dump(),
        value=measured.value,
        low=measured.low,
        high=measured.high,
        applies=applies,
        passed=passed,
        reason=reason,
        **more,
    )
